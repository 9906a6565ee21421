"""A client of the service that discordd replaces, as such clients were written: it knows nothing of discordd."""

import os
import sys

import requests

API_URL = os.environ.get("DISCORD_API_URL", "http://discord-api:9091")


def send_message(channel_id, content):
    response = requests.post(
        f"{API_URL}/messages",
        json={
            "discord_token": os.environ["DISCORD_TOKEN"],
            "channel_id": channel_id,
            "content": content,
        },
        timeout=60,
    )
    response.raise_for_status()
    result = response.json()
    if not result["success"]:
        raise RuntimeError(result["error"])
    print(f"sent {result['message_id']} as {result['bot_info']}")


if __name__ == "__main__":
    health = requests.get(f"{API_URL}/health", timeout=5)
    assert health.json()["status"] == "healthy", health.text
    send_message(sys.argv[1], sys.argv[2])
