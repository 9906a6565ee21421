"""A program that posts over the daemon's socket, with nothing but what Python has: it may have no network at all."""

import json
import os
import socket
import sys
import time

channel_id, content = sys.argv[1:]
call = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "discord.sendMessage",
    "params": {"discord_token": os.environ["DISCORD_TOKEN"], "channel_id": channel_id, "content": content},
}


def connect(connection, path, patience=30):
    """Podman starts the containers of a pod together, where Kubernetes waits for the startup probe."""
    end = time.monotonic() + patience
    while True:
        try:
            return connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout(60)
    connect(connection, "/run/discordd/discordd.sock")
    connection.sendall(json.dumps(call).encode() + b"\n")
    answer = json.loads(connection.makefile().readline())
assert "result" in answer, answer
print(f"sent {answer['result']['message_id']} as {answer['result']['bot_info']}")
