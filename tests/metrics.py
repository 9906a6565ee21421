"""The daemon's figures as others read them: Prometheus' own parsers for Python, in both formats, under a
load that leaves no figure empty; and, where they are given, promtool and a Prometheus that scrapes the
daemon and answers every question of the dashboard and the rules that are shipped.

Usage: metrics.py DISCORDD [FOLDER WITH prometheus AND promtool]
"""

import json
import math
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families

ROOT = pathlib.Path(__file__).parent.parent
DASHBOARD = ROOT / "config/grafana/discordd.json"
RULES = ROOT / "config/prometheus/alerts.yml"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OLDER = "text/plain; version=0.0.4; charset=utf-8"
# How long anything may take that is waited for, in seconds.
PATIENCE = 30


def wait_for(what, done):
    """Waits until something is so."""
    last = time.monotonic() + PATIENCE
    while not (found := done()):
        if time.monotonic() > last:
            sys.exit(f"{what}: not within {PATIENCE} s")
        time.sleep(0.05)
    return found


def get(url, headers=None):
    """Asks for a page; gives its body and what it says that it is."""
    request = urllib.request.Request(url, headers=headers or {})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read().decode(), answer.headers["content-type"]


class Sandbox:
    """The stand-in for Discord."""

    def __init__(self, discordd):
        command = [discordd, "sandbox", "--json", "--http", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.line = json.loads(self.process.stdout.readline())
        self.url = f"http://{self.line['http']}"
        self.tokens = [bot["token"] for bot in self.line["bots"]]
        self.channels = [channel["id"] for channel in self.line["channels"]]

    def fault(self, do, **rule):
        body = json.dumps({"do": do, **rule}).encode()
        urllib.request.urlopen(f"{self.url}/_sandbox/faults", body, timeout=PATIENCE).close()

    def requests(self):
        return json.loads(get(f"{self.url}/_sandbox/stats")[0])["requests"]


class Daemon:
    """The daemon, which takes the sandbox for Discord."""

    def __init__(self, discordd, sandbox, folder):
        self.socket = f"{folder}/discordd.sock"
        command = [discordd, "serve", "--unix", self.socket, "--tcp", "127.0.0.1:0"]
        environment = {"DISCORDD_DISCORD__BASE_URL": sandbox.url, "DISCORDD_LOG__FORMAT": "json"}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            line = json.loads(line)
            if line.get("address", "").startswith("tcp:"):
                self.address = line["address"].removeprefix("tcp:")
            if line["message"] == "ready":
                break
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.url = f"http://{self.address}/metrics"

    def connect(self):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(self.socket)
        return connection

    def begin(self, method, params=None):
        """Sends a call on a connection of its own."""
        connection = self.connect()
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        connection.sendall(json.dumps(call).encode() + b"\n")
        return connection

    def call(self, method, params=None):
        """Makes a call on a connection of its own."""
        with self.begin(method, params) as connection:
            return json.loads(connection.makefile().readline())

    def send(self, token, channel):
        return self.call("discord.sendMessage", [token, channel, "hi"])

    def figures(self, accept=None):
        return get(self.url, {"accept": accept} if accept else {})


def load(daemon, sandbox):
    """Leaves no figure empty. Gives the connection of a call that is under way."""
    (token, other), (slow, channel, *_) = sandbox.tokens[:2], sandbox.channels
    before = sandbox.requests()
    sandbox.fault({"delay_ms": 20000}, match={"channel_id": slow}, times=1)
    under_way = daemon.begin("discord.sendMessage", [token, slow, "hi"])
    wait_for("a call under way", lambda: sandbox.requests() > before)
    daemon.call("health")
    daemon.call("discord.test", [token])
    daemon.call("discord.listChannels", [token])
    daemon.send(token, channel)
    sandbox.fault({"status": 503}, match={"channel_id": channel}, times=1)
    daemon.send(token, channel)
    limit = {"rate_limit": {"scope": "shared", "retry_after": 0.2}}
    sandbox.fault(limit, match={"channel_id": channel}, times=1)
    daemon.send(token, channel)
    for _ in range(2):
        daemon.send("wrong", channel)
    with daemon.connect() as connection:
        connection.sendall(b"[1 2]\n")
        connection.makefile().readline()
    sandbox.fault({"cloudflare": {"retry_after": 600}}, match={"channel_id": channel}, times=1)
    daemon.send(other, channel)
    return under_way


def samples(families):
    """Every sample with its labels; and holds that each family has its words and is not empty."""
    found = {}
    for family in families:
        assert family.documentation and family.type != "unknown", family
        assert any(sample.value for sample in family.samples), f"{family.name} is nothing"
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def check_parsers(daemon, sandbox):
    """Reads both formats as their own parsers do."""
    text, kind = daemon.figures("application/openmetrics-text")
    assert kind == OPEN_METRICS, kind
    families = list(text_string_to_metric_families(text))
    of_open_metrics = samples(families)
    older, kind = daemon.figures()
    assert kind == OLDER, kind
    of_older = samples(parser.text_string_to_metric_families(older))
    differ = of_open_metrics.keys() ^ of_older.keys()
    assert not differ, f"only in one format: {differ}"
    for key, value in of_open_metrics.items():
        if not key[0].startswith("process_") and key[0] != "discordd_guard_banned_seconds":
            assert math.isclose(value, of_older[key], rel_tol=0.5, abs_tol=10), key
    secrets = sandbox.tokens + sandbox.channels + [sandbox.line["guild_id"], "wrong"]
    for page in (text, older):
        shown = [secret for secret in secrets if secret in page]
        assert not shown and not re.search(r'="[^"]*\d{5}', page), f"{shown} in {page}"
    print(f"parsed    {len(families)} figures, {len(of_open_metrics)} samples, in both formats")
    return older


def check_promtool(promtool, page):
    """Has promtool look at the figures, and at the rules."""
    for arguments, given in ((["metrics"], page), (["rules", str(RULES)], None)):
        command = [promtool, "check", *arguments]
        done = subprocess.run(command, input=given, capture_output=True, text=True)
        said = done.stdout + done.stderr
        assert done.returncode == 0 and (given is None or not said), f"{command}: {said}"
    print("checked   promtool finds nothing in the figures or the rules")


class Prometheus:
    """A Prometheus that scrapes the daemon, as it does by default."""

    def __init__(self, program, daemon, folder):
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{chosen.getsockname()[1]}"
        settings = pathlib.Path(folder) / "prometheus.yml"
        scrape = {"job_name": "discordd", "static_configs": [{"targets": [daemon.address]}]}
        settings.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "200ms", "evaluation_interval": "1s"},
                    "rule_files": [str(RULES)],
                    "scrape_configs": [scrape],
                }
            )
        )
        self.log = open(f"{folder}/prometheus.log", "w+")
        command = [program, f"--config.file={settings}", f"--storage.tsdb.path={folder}/data"]
        command.append(f"--web.listen-address={self.url.removeprefix('http://')}")
        self.process = subprocess.Popen(command, stderr=self.log)

    def ask(self, question):
        """Gives what it answers; nothing where it is not ready yet."""
        query = urllib.parse.urlencode({"query": question})
        try:
            answer = json.loads(get(f"{self.url}/api/v1/query?{query}")[0])
        except urllib.error.HTTPError as error:
            if error.code == 400:
                sys.exit(f"{question}: {error.read().decode()}")
            return []
        except urllib.error.URLError:
            return []
        return answer["data"]["result"]


def questions(value):
    """Everything that the dashboard asks, wherever it stands in it."""
    if isinstance(value, dict):
        if "expr" in value:
            yield value["expr"]
        for inner in value.values():
            yield from questions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from questions(inner)


def check_prometheus(prometheus):
    """Asks it what the dashboard asks, and looks at the rules."""
    asked = 0
    for question in questions(json.loads(DASHBOARD.read_text())):
        now = question.replace("$__rate_interval", "20s").replace("$instance", ".*")
        # Nothing was started again.
        if not question.startswith("changes("):
            wait_for(f"an answer to {question}", lambda: prometheus.ask(now))
        asked += 1
    rules = json.loads(get(f"{prometheus.url}/api/v1/rules")[0])["data"]["groups"]
    rules = [rule for group in rules for rule in group["rules"]]
    wait_for("an alert", lambda: prometheus.ask('ALERTS{alertname="DiscorddBanned"}'))
    wrong = [rule for rule in rules if rule["health"] == "err"]
    assert rules and not wrong, wrong
    print(f"scraped   by Prometheus: {asked} questions of the dashboard have answers, "
          f"{len(rules)} rules are in force and one of them fires, as it should")


def main():
    discordd, *programs = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Sandbox(discordd)
        daemon = Daemon(discordd, sandbox, folder)
        running = [sandbox.process, daemon.process]
        try:
            if programs:
                prometheus = Prometheus(f"{programs[0]}/prometheus", daemon, folder)
                running.append(prometheus.process)
                wait_for("a first scrape", lambda: prometheus.ask('up{job="discordd"} == 1'))
            under_way = load(daemon, sandbox)
            page = check_parsers(daemon, sandbox)
            if programs:
                check_promtool(f"{programs[0]}/promtool", page)
                check_prometheus(prometheus)
            under_way.close()
        finally:
            for process in running:
                process.kill()
                process.wait()


main()
