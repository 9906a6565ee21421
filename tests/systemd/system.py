"""What the checks are made of: commands, users, and calls to the daemon."""

import json
import os
import pickle
import pwd
import socket
import subprocess
import sys
import threading
import time
import urllib.request

SOCKET = "/run/discordd/discordd.sock"
PORT = ("127.0.0.1", 9091)
# How long anything may take before it counts as hanging, in seconds.
PATIENCE = 60


def say(subject, text):
    print(f"{subject:<9} {text}", flush=True)


def run(*command, **more):
    """Runs a command that has to succeed, and gives what it printed."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout.strip()


def holds(what, text):
    """Ends everything unless this holds; the daemon's last words tell why it does not."""
    if what:
        return
    journal = subprocess.run(
        ["journalctl", "--no-pager", "-n", "30", "-u", "discordd*"], capture_output=True, text=True
    )
    sys.exit(f"{text}\n{journal.stdout}")


def state(unit, *names):
    """What systemd knows of a unit, each as a text."""
    shown = run("systemctl", "show", unit, *(f"--property={name}" for name in names))
    known = dict(line.split("=", 1) for line in shown.splitlines())
    values = tuple(known[name] for name in names)
    return values if len(values) > 1 else values[0]


def wait_until(ready, text):
    end = time.monotonic() + PATIENCE
    while not ready():
        holds(time.monotonic() < end, f"waited in vain: {text}")
        time.sleep(0.02)


class Running:
    """A function that runs as a user in a process of its own."""

    def __init__(self, user, function, *arguments):
        reader, writer = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            os.close(reader)
            account = pwd.getpwnam(user)
            os.initgroups(user, account.pw_gid)
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            try:
                result = function(*arguments)
            except OSError as error:
                result = error
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(result, pipe)
            os._exit(0)
        os.close(writer)
        self.pipe = os.fdopen(reader, "rb")

    def result(self):
        with self.pipe:
            result = pickle.load(self.pipe)
        os.waitpid(self.child, 0)
        return result


def as_user(user, function, *arguments):
    return Running(user, function, *arguments).result()


def exchange(address, request):
    """Sends one request on a connection of its own, and reads to the end of the answer."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(address)
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def call(method, params, address=SOCKET, http=False, headers=""):
    """Makes one call. Nothing but an answer, or nothing at all, may come back."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    if http:
        head = f"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = exchange(address, head.encode() + body).partition(b"\r\n\r\n")[2]
    else:
        answer = exchange(address, body)
    return json.loads(answer) if answer else None


class Sandbox:
    """The stand-in for Discord."""

    def __init__(self, program):
        command = [program, "sandbox", "--json", "--http", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = json.loads(self.process.stdout.readline())
        self.url = f"http://{line['http']}"
        self.token = line["bots"][0]["token"]
        self.channel = line["channels"][0]["id"]

    def message(self, text):
        return {"discord_token": self.token, "channel_id": self.channel, "content": text}

    def fault(self, rule):
        body = json.dumps(rule).encode()
        urllib.request.urlopen(f"{self.url}/_sandbox/faults", body, PATIENCE).close()

    def texts(self):
        """Every message that was posted, by pages of a hundred."""
        texts, before = [], ""
        while True:
            path = f"/api/v10/channels/{self.channel}/messages?limit=100{before}"
            headers = {"Authorization": f"Bot {self.token}"}
            request = urllib.request.Request(self.url + path, headers=headers)
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                page = json.load(answer)
            if not page:
                return texts
            texts += [message["content"] for message in page]
            before = f"&before={page[-1]['id']}"


def one_call(message, number):
    """Makes the call with this number, and tells what became of it."""
    address = (SOCKET, PORT)[number % 2]
    params = dict(message, content=f"{message['content']} {number}")
    try:
        answer = call("discord.sendMessage", params, address, http=number % 4 > 1)
    except OSError:
        return "broken"
    if answer is None:
        return "unanswered"
    return "posted" if "result" in answer else f"refused with {answer['error']['code']}"


def many_calls(message, count, lanes, progress=None):
    """Makes many calls, each on a connection of its own and each once. Gives what became of them."""
    numbers = iter(range(count))
    lock = threading.Lock()
    outcomes = {}

    def lane():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            outcome = one_call(message, number)
            with lock:
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
            if progress:
                os.write(progress, b".")

    threads = [threading.Thread(target=lane) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
