"""Two daemons that post as one bot in one channel of a Discord with rate limits, each for itself and behind a
rate-limit proxy that they share.

    run.py target/debug/discordd NODE_MODULES_FOLDER
"""

import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

PROGRAM = os.path.realpath(sys.argv[1])
PACKAGES = pathlib.Path(sys.argv[2])
# Three times what the sandbox lets a bot post in a channel at once: 5 in 5 seconds.
MESSAGES = 15


@contextlib.contextmanager
def started(args, first_line, **variables):
    """A program that runs meanwhile, with the first line that it says on the stream of this name."""
    streams = {first_line: subprocess.PIPE}
    process = subprocess.Popen(args, env=os.environ | variables, text=True, **streams)
    try:
        yield process, getattr(process, first_line)
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def daemon(folder, name, base_url):
    socket = str(folder / f"{name}.sock")
    args = [PROGRAM, "serve", "--unix", socket, "--tcp", ""]
    # As often as it takes: what is counted is how often that is.
    settings = {"DISCORDD_DISCORD__BASE_URL": base_url, "DISCORDD_DISCORD__ATTEMPTS": "10"}
    settings["DISCORDD_LOG__FORMAT"] = "json"
    with started(args, "stderr", **settings) as (_, log):
        while json.loads(log.readline())["message"] != "ready":
            pass
        yield socket


def call(socket, *args):
    """What the daemon answered; none where it is an error, which is shown."""
    done = subprocess.run([PROGRAM, "call", *args, "--socket", socket], capture_output=True, text=True)
    if done.returncode:
        print("  ", done.stdout.strip(), flush=True)
        return None
    return json.loads(done.stdout)


def post(socket, channel, text):
    return call(socket, "discord.sendMessage", f"channel_id={channel}", f"content={text}") is not None


def get(url, token=None):
    request = urllib.request.Request(url, headers={"authorization": f"Bot {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def run(name, sandbox, base_url, channel, token):
    before = len(get(f"{sandbox}/_sandbox/requests?since=0"))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        sockets = [stack.enter_context(daemon(folder, place, base_url)) for place in "ab"]
        with concurrent.futures.ThreadPoolExecutor(MESSAGES) as pool:
            texts = [f"{name} {number}" for number in range(MESSAGES)]
            calls = [pool.submit(post, sockets[n % 2], channel, text) for n, text in enumerate(texts)]
            sent = sum(one.result() for one in calls)
        guarded = sum(call(socket, "health")["guard"]["counted"] for socket in sockets)
    took = time.monotonic() - began
    requests = get(f"{sandbox}/_sandbox/requests?since=0")[before:]
    statuses = collections.Counter(it["status"] for it in requests if it["method"] == "POST")
    seen = [it["content"] for it in get(f"{sandbox}/api/v10/channels/{channel}/messages?limit=100", token)]
    arrived = collections.Counter(text for text in seen if text.startswith(f"{name} "))
    refused = statuses[429]
    print(f"   {name}: {sent} of {MESSAGES} sent in {took:.1f} s; refused by Discord: {refused}; by the guards' count: {guarded}")
    assert set(arrived.values()) == {1} and len(arrived) == sent, arrived
    return sent, refused


args = [PROGRAM, "sandbox", "--json", "--rate-limits", "--http", "127.0.0.1:0"]
with started(args, "stdout") as (_, line):
    facts = json.loads(line.readline())
    sandbox, token = f"http://{facts['http']}", facts["bots"][0]["token"]
    os.environ["DISCORD_TOKEN"] = token
    alone, shared = (channel["id"] for channel in facts["channels"][:2])
    _, refused_alone = run("each for itself", sandbox, sandbox, alone, token)
    with started(["node", PACKAGES / "proxy.mjs"], "stdout", BASE=sandbox) as (_, line):
        sent, refused = run("behind a proxy", sandbox, line.readline().strip(), shared, token)
    assert sent == MESSAGES
    assert refused < refused_alone, "the proxy does not spare Discord a thing"
