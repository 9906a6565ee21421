"""The life of the package under systemd: one line for each thing that was seen."""

import os
import pathlib
import re
import stat
import subprocess
import sys
import time

from system import (
    PORT,
    SOCKET,
    Running,
    Sandbox,
    as_user,
    call,
    holds,
    many_calls,
    run,
    say,
    state,
    wait_until,
)

HERE = pathlib.Path(__file__).parent
SERVICE, SOCKETS = "discordd.service", ("discordd.socket", "discordd-tcp.socket")
UNITS = (SERVICE, *SOCKETS)
GROUP = "discordd-clients"
CONFIG = pathlib.Path("/etc/discordd/config.toml")
DROP_IN = pathlib.Path("/run/systemd/system/discordd.service.d/check.conf")
# Of 10, as systemd-analyze has it: 1.3.
EXPOSURE = "13"
# In seconds; the package's own is longer than a check should take.
WATCHDOG = 2
# Where a package puts files, and what of that is not this one's: logs, caches, dpkg's own, and the
# copies that useradd and groupadd keep.
PLACES = ("/etc", "/usr", "/var")
ELSEWHERE = {"/var/cache", "/var/lib/dpkg", "/var/log", "/var/tmp"}
COPIES = {"/etc/group-", "/etc/gshadow-", "/etc/passwd-", "/etc/shadow-"}


def files():
    """Every path there is where a package could leave something."""
    found = set()
    for place in PLACES:
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if os.path.join(folder, name) not in ELSEWHERE]
            found.update(os.path.join(folder, name) for name in folders + names)
    return found - COPIES


def milliseconds(since):
    return round((time.monotonic() - since) * 1000)


def pid():
    return int(state(SERVICE, "MainPID"))


def install():
    run("dpkg", "-i", str(HERE / "old.deb"))
    for unit in SOCKETS:
        known = state(unit, "ActiveState", "UnitFileState")
        holds(known == ("active", "enabled"), f"{unit} is {known}")
    known = state(SERVICE, "ActiveState", "UnitFileState")
    holds(known == ("inactive", "disabled"), f"{SERVICE} is {known}")
    found = os.stat(SOCKET)
    mode, group = stat.S_IMODE(found.st_mode), run("stat", "-c", "%G", SOCKET)
    holds((mode, group) == (0o660, GROUP), f"the socket has {mode:o} and {group}")
    say("installed", f"the sockets listen, {mode:04o} for {group}; nothing runs yet")


def analyze():
    said = run("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *UNITS)
    holds(not said, said)
    unit = f"/usr/lib/systemd/system/{SERVICE}"
    analyzed = ("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit)
    exposure = re.search(r"exposure level for \S+ (\S+)", run(*analyzed))[1]
    say("analyzed", f"systemd-analyze verify says nothing; exposure {exposure}")


def point_at(sandbox):
    DROP_IN.parent.mkdir(parents=True)
    variable = f"DISCORDD_DISCORD__BASE_URL={sandbox.url}"
    DROP_IN.write_text(f"[Service]\nEnvironment={variable}\nWatchdogSec={WATCHDOG}s\n")
    run("systemctl", "daemon-reload")


def start_by_call():
    begun = time.monotonic()
    answer = as_user("member", call, "health", {})
    took = milliseconds(begun)
    holds(answer["result"]["status"] == "healthy", f"the first call: {answer}")
    known = state(SERVICE, "ActiveState", "NRestarts", "StatusText")
    holds(known[:2] == ("active", "0"), f"after the first call: {known}")
    say("started", f"by the first connection, which is answered after {took} ms: {known[2]!r}")


def post(sandbox):
    environment = dict(os.environ, DISCORD_TOKEN=sandbox.token)
    command = ["discordd", "call", "discord.sendMessage", f"channel_id={sandbox.channel}"]
    member = dict(user="member", group="member", extra_groups=[GROUP])
    said = run(*command, "content=by a member", env=environment, **member)
    holds("by a member" in sandbox.texts(), f"the message is not there: {said}")
    answer = as_user("stranger", call, "discord.sendMessage", sandbox.message("over TCP"), PORT)
    holds("over TCP" in sandbox.texts(), f"the message is not there: {answer}")
    say("posted", "by a member of the group at the socket, by anybody at the port on loopback")


def refuse():
    error = as_user("stranger", call, "health", {})
    holds(isinstance(error, PermissionError), f"a stranger got {error}")
    command = ["discordd", "health", "--socket", SOCKET]
    done = subprocess.run(command, user="stranger", group="stranger", capture_output=True, text=True)
    holds(done.returncode == 2, f"a stranger's health ended with {done.returncode}: {done.stderr}")
    say("refused", f"a stranger at the socket: {error}; {done.stderr.strip()!r}")


def reload():
    """Holds that a reload takes new settings and leaves out broken ones, and that the daemon sees
    whose a connection is: the new ones name who may."""
    shipped, before = CONFIG.read_text(), pid()

    def put(text):
        CONFIG.write_text(shipped + text)
        run("systemctl", "reload", SERVICE)

    def code():
        return call("health", {}).get("error", {}).get("code")

    put('[[door]]\naddress = "systemd:unix"\nuids = ["member"]\n')
    wait_until(lambda: code() == 403, "root is refused")
    member = as_user("member", call, "health", {})
    holds("result" in member, f"the member got {member}")
    put("nonsense = 1\n")
    wait_until(lambda: "not reloaded" in journal(), "the broken settings are complained of")
    holds(code() == 403, "broken settings changed something")
    put("")
    wait_until(lambda: code() is None, "root is served again")
    holds(pid() == before, "it was started again")
    holds(state(SERVICE, "ActiveState", "SubState") == ("active", "running"), "it is not running")
    say("reloaded", "uids = [\"member\"] keeps root out (403), broken settings change nothing")


def give_credentials():
    """Holds that a secret that only root can read comes to a door."""
    shipped, secret = CONFIG.read_text(), "a secret of sixteen characters and more".replace(" ", "-")
    store = pathlib.Path("/etc/credstore")
    store.mkdir(mode=0o700, exist_ok=True)
    file = store / "discordd.secret"
    file.write_text(secret)
    file.chmod(0o600)
    door = '[[door]]\naddress = "systemd:tcp"\nsecret_file = "credential:discordd.secret"\n'
    CONFIG.write_text(shipped + door)
    run("systemctl", "restart", SERVICE)
    without = call("health", {}, PORT, http=True)
    shown = call("health", {}, PORT, http=True, headers=f"discordd-secret: {secret}\r\n")
    holds("error" in without and "result" in shown, f"without the secret {without}, with it {shown}")
    file.unlink()
    store.rmdir()
    CONFIG.write_text(shipped)
    run("systemctl", "restart", SERVICE)
    say("entrusted", f"a credential to the port: without it {without['error']['code']}")


def journal():
    return run("journalctl", "--no-pager", "--unit", SERVICE)


def kill(sandbox):
    before = pid()
    run("systemctl", "kill", "--signal=KILL", SERVICE)
    begun = time.monotonic()
    outcomes = as_user("member", many_calls, sandbox.message("killed"), 20, 20)
    took = milliseconds(begun)
    holds(outcomes == {"posted": 20}, f"of 20 who waited: {outcomes}")
    known = state(SERVICE, "ActiveState", "NRestarts")
    holds(pid() != before and known == ("active", "1"), f"after the kill: {known}")
    say("killed", f"and started again: 20 of 20 callers who came meanwhile posted, within {took} ms")


def hang(sandbox):
    before = pid()
    # One of those that serve is enough; the first still has to die of the watchdog's signal.
    command = [sys.executable, str(HERE / "hang.py"), str(before), "serve-1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hanging:
        threads = hanging.stdout.readline().strip()
        holds(threads.isdigit() and threads != "0", "no thread could be stopped")
        begun = time.monotonic()
        callers = Running("member", many_calls, sandbox.message("hung"), 20, 20)
        outcomes = callers.result()
        took = milliseconds(begun)
    posted = [text for text in sandbox.texts() if text.startswith("hung ")]
    # Connections that were given to it end with it, and nothing that came there was begun.
    ended = {"posted", "broken", "unanswered"}
    holds(set(outcomes) <= ended and sum(outcomes.values()) == 20, f"of 20: {outcomes}")
    holds(len(posted) == len(set(posted)) == outcomes.get("posted", 0), f"{outcomes}: {posted}")
    holds(pid() != before, "the daemon that hung is still there")
    holds("Watchdog timeout" in journal(), "it was not the watchdog")
    say(
        "hung",
        f"{threads} of the threads that serve: the watchdog ({WATCHDOG} s) ended it, "
        f"of 20 callers {len(posted)} posted, once, and the others were cut off, within {took} ms",
    )


def restart(sandbox, calls=300, restarts=8, lanes=6):
    reader, writer = os.pipe()
    message = sandbox.message("restarted")
    callers = Running("member", many_calls, message, calls, lanes, writer)
    os.close(writer)
    done, took = 0, []
    for number in range(1, restarts + 1):
        while done < calls * number // (restarts + 1):
            done += len(os.read(reader, 1))
        begun = time.monotonic()
        run("systemctl", "restart", SERVICE)
        took.append(milliseconds(begun))
    while os.read(reader, 100):
        pass
    os.close(reader)
    outcomes = callers.result()
    posted = [text for text in sandbox.texts() if text.startswith("restarted ")]
    holds(outcomes == {"posted": calls}, f"of {calls}: {outcomes}")
    holds(len(posted) == len(set(posted)) == calls, f"{len(posted)} messages, {len(set(posted))} different")
    say(
        "restarted",
        f"{restarts} times under {calls} calls: 0 lost, 0 refused, 0 twice; "
        f"a restart took {min(took)} to {max(took)} ms",
    )


def stop(sandbox):
    sandbox.fault({"times": 1, "do": {"delay_ms": 1000}})
    caller = Running("member", call, "discord.sendMessage", sandbox.message("last"))
    wait_until(lambda: "under way: 1" in health_line(), "the call is under way")
    begun = time.monotonic()
    run("systemctl", "stop", SERVICE)
    took = milliseconds(begun)
    answer = caller.result()
    holds("result" in answer, f"the call under way got {answer}")
    known = state(SERVICE, "ActiveState", "Result", "ExecMainStatus")
    holds(known == ("inactive", "success", "0"), f"after the stop: {known}")
    say("stopped", f"in {took} ms, with exit code 0, after a call under way was answered")
    as_user("member", call, "health", {})
    holds(state(SERVICE, "ActiveState") == "active", "the next call did not start it")


def health_line():
    return run("discordd", "health", "--socket", SOCKET)


def upgrade(sandbox, calls=200, lanes=4):
    CONFIG.write_text(CONFIG.read_text() + '[log]\nfilter = "debug"\n')
    before, kept = pid(), CONFIG.read_text()
    reader, writer = os.pipe()
    callers = Running("member", many_calls, sandbox.message("upgraded"), calls, lanes, writer)
    os.close(writer)
    os.read(reader, 1)
    run("dpkg", "-i", str(HERE / "new.deb"))
    while os.read(reader, 100):
        pass
    os.close(reader)
    outcomes = callers.result()
    holds(outcomes == {"posted": calls}, f"of {calls}: {outcomes}")
    holds(pid() not in (0, before), "the old program still runs")
    holds(CONFIG.read_text() == kept, "the administrator's settings are gone")
    version = run("dpkg-query", "--show", "--showformat=${Version}", "discordd")
    say("upgraded", f"to {version} under {calls} calls: 0 lost, 0 refused; the settings were kept")


def purge(before):
    DROP_IN.unlink()
    DROP_IN.parent.rmdir()
    run("dpkg", "--purge", "discordd")
    left = files() - before
    holds(not left, f"left behind: {sorted(left)[:20]}")
    gone = not os.path.exists("/run/discordd")
    holds(gone, "/run/discordd is left behind")
    known = subprocess.run(["getent", "group", GROUP], capture_output=True, text=True).stdout
    holds(known.startswith(GROUP) and "member" in known, f"a group with a member is {known!r}")
    failed = run("systemctl", "list-units", "--all", "--no-legend", "discordd*")
    holds(not failed, f"systemd still knows {failed}")
    failed = run("systemctl", "list-units", "--failed", "--no-legend")
    holds(not failed, f"failed: {failed}")
    say("purged", "no file, no unit and no failure is left; the group stays, as somebody is in it")


def purge_group():
    run("dpkg", "-i", str(HERE / "new.deb"))
    run("gpasswd", "--delete", "member", GROUP)
    run("dpkg", "--purge", "discordd")
    known = subprocess.run(["getent", "group", GROUP], capture_output=True).returncode
    holds(known != 0, "the empty group is left behind")
    say("purged", "once more, and the group with it, now that nobody is in it")


def main():
    for user in ("member", "stranger"):
        run("useradd", "--no-create-home", "--user-group", user)
    before = files()
    install()
    run("usermod", "--append", "--groups", GROUP, "member")
    analyze()
    sandbox = Sandbox(str(HERE / "discordd"))
    point_at(sandbox)
    start_by_call()
    post(sandbox)
    refuse()
    reload()
    give_credentials()
    kill(sandbox)
    hang(sandbox)
    restart(sandbox)
    stop(sandbox)
    upgrade(sandbox)
    purge(before)
    purge_group()
    sandbox.process.kill()


main()
