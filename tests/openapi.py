#!/usr/bin/env python3
"""Holds every answer of the sandbox against Discord's own description of its API.

    python3 tests/openapi.py target/debug/discordd discord-openapi.json

The description is https://github.com/discord/discord-api-spec (specs/openapi.json). Needs the
package `jsonschema`, 4.18 or newer, with which the whole description is one schema document.
Exit code: 0 if every answer fits or there is no description, 1 if one does not fit.
"""

import json
import subprocess
import sys
import urllib.error
import urllib.request

API = "/api/v10"


class Sandbox:
    """The running binary."""

    def __init__(self, binary, *arguments):
        command = [binary, "sandbox", "--json", "--http", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = json.loads(self.process.stdout.readline())
        self.base = "http://" + line["http"]
        self.guild = line["guild_id"]
        self.workshop = line["workshop"]["guild_id"]
        bots = line["bots"] + line["more_bots"]
        self.bots = {bot["name"]: bot for bot in bots}
        channels = line["workshop"]["channels"] + line["channels"]
        self.channels = {channel["name"]: channel["id"] for channel in channels}

    def ask(self, bot, method, path, body=None):
        """Gives the status, the content type and the text of an answer."""
        headers = {"content-type": "application/json"}
        if bot is not None:
            headers["authorization"] = "Bot " + self.bots[bot]["token"]
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.base + path, data=data, headers=headers, method=method
        )
        try:
            answer = urllib.request.urlopen(request, timeout=20)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers.get_content_type(), answer.read().decode()

    def end(self):
        self.process.terminate()
        self.process.wait()


class Checks:
    """Asks, and holds what comes against the description."""

    def __init__(self, sandbox, description):
        from jsonschema import Draft202012Validator
        from referencing import Registry, Resource
        from referencing.jsonschema import DRAFT202012

        self.sandbox = sandbox
        self.description = description
        resource = Resource(contents=description, specification=DRAFT202012)
        self.registry = Registry().with_resource("urn:discord", resource)
        self.validator = Draft202012Validator
        self.asked = set()
        self.count = 0
        self.failures = []

    def schema(self, template, method, status):
        """Gives where in the description the schema of this answer stands."""
        pointer = ["paths", template, method.lower(), "responses"]
        responses = self.description["paths"][template][method.lower()]["responses"]
        keys = [str(status), f"{status // 100}XX"]
        key = next((key for key in keys if key in responses), None)
        if key is None:
            return None
        found = responses[key]
        if "$ref" in found:
            pointer = found["$ref"].removeprefix("#/").split("/")
        else:
            pointer.append(key)
        pointer += ["content", "application/json", "schema"]
        escaped = [step.replace("~", "~0").replace("/", "~1") for step in pointer]
        escaped = [step.replace("{", "%7B").replace("}", "%7D") for step in escaped]
        return "urn:discord#/" + "/".join(escaped)

    def __call__(self, bot, method, template, status, body=None, query="", **ids):
        """Asks once, and gives the answer."""
        path = API + template.format(**ids) + query
        about = f"{bot} {method} {path} {'' if body is None else json.dumps(body)[:200]}"
        found, kind, text = self.sandbox.ask(bot, method, path, body)
        self.asked.add((method, template))
        self.count += 1
        answer = None
        try:
            answer = json.loads(text)
        except ValueError:
            self.failures.append(f"{about}: no JSON: {text[:200]}")
        if kind != "application/json":
            self.failures.append(f"{about}: content type {kind}")
        if found != status:
            self.failures.append(f"{about}: {found} instead of {status}: {text[:300]}")
        schema = self.schema(template, method, found)
        if schema is None:
            self.failures.append(f"{about}: {found} is not described")
            return answer
        validator = self.validator({"$ref": schema}, registry=self.registry)
        for error in validator.iter_errors(answer):
            place = "/".join(str(step) for step in error.absolute_path)
            self.failures.append(f"{about}: {found}: /{place}: {reason(error)}")
        return answer


def depart(description):
    """Changes what Discord's description lacks, and its documentation and its answers have.

    Gives what does not have to be changed any more.
    """
    schemas = description["components"]["schemas"]
    needless = []
    # Codes in the tree of a form's errors are words:
    # https://discord.com/developers/docs/reference#error-messages
    errors = schemas["InnerErrors"]["properties"]["_errors"]
    if errors["items"] != {"$ref": "#/components/schemas/Error"}:
        needless.append("InnerErrors")
    word = {"type": "string", "pattern": "^[A-Z0-9_]+$"}
    errors["items"] = {
        "type": "object",
        "properties": {"code": word, "message": {"type": "string"}},
        "required": ["code", "message"],
        "additionalProperties": False,
    }
    # Media channels:
    # https://discord.com/developers/docs/resources/channel#channel-object-channel-types
    types = schemas["GuildChannelResponse"]["properties"]["type"]["enum"]
    if 16 in types:
        needless.append("GuildChannelResponse")
    types.append(16)
    # Forwards: https://discord.com/developers/docs/resources/message#message-reference-types
    for name, const in [("ChannelTypes", 16), ("MessageReferenceType", 1)]:
        choices = schemas[name]["oneOf"]
        if any(choice["const"] == const for choice in choices):
            needless.append(name)
        choices.append({"const": const})
    return needless


def reason(error):
    """Gives the deepest reason why an answer does not fit."""
    from jsonschema.exceptions import best_match

    deepest = best_match([error])
    place = "/".join(str(step) for step in deepest.absolute_path)
    return f"/{place} {deepest.message[:300]}"


ME = "/users/@me"
GUILDS = "/users/@me/guilds"
GUILD = "/guilds/{guild_id}"
CHANNELS = "/guilds/{guild_id}/channels"
ROLES = "/guilds/{guild_id}/roles"
MEMBER = "/guilds/{guild_id}/members/{user_id}"
CHANNEL = "/channels/{channel_id}"
MESSAGES = "/channels/{channel_id}/messages"
MESSAGE = "/channels/{channel_id}/messages/{message_id}"
ROUTES = [
    ("GET", ME), ("GET", GUILDS), ("GET", GUILD), ("GET", CHANNELS), ("GET", ROLES),
    ("GET", MEMBER), ("GET", CHANNEL), ("GET", MESSAGES), ("POST", MESSAGES), ("GET", MESSAGE),
]


def users_and_guilds(check):
    sandbox = check.sandbox
    for bot in sandbox.bots:
        check(bot, "GET", ME, 200)
        check(bot, "GET", GUILDS, 200)
        check(bot, "GET", GUILDS, 200, query="?with_counts=true&limit=3")
    check("scout", "GET", GUILDS, 400, query="?limit=201")
    for method, template in ROUTES:
        ids = dict(guild_id=1, user_id=1, channel_id=1, message_id=1)
        body = {} if method == "POST" else None
        check(None, method, template, 401, body, **ids)
        if "{" in template:
            check("scout", method, template, 404, body, **ids)
            wrong = dict.fromkeys(ids, "abc")
            check("scout", method, template, 400, body, **wrong)
    for bot, guild in [("scout", sandbox.guild), ("ranger", sandbox.workshop)]:
        check(bot, "GET", GUILD, 200, guild_id=guild)
        check(bot, "GET", GUILD, 200, query="?with_counts=true", guild_id=guild)
        check(bot, "GET", CHANNELS, 200, guild_id=guild)
        check(bot, "GET", ROLES, 200, guild_id=guild)
        check(bot, "GET", MEMBER, 200, guild_id=guild, user_id=sandbox.bots[bot]["id"])
        check(bot, "GET", MEMBER, 404, guild_id=guild, user_id=sandbox.bots["hermit"]["id"])
        for template in [GUILD, CHANNELS, ROLES]:
            check("hermit", "GET", template, 403, guild_id=guild)
    sleeper = sandbox.bots["sleeper"]["id"]
    check("keeper", "GET", MEMBER, 200, guild_id=sandbox.workshop, user_id=sleeper)
    guild = check("drifter", "GET", GUILDS, 200, query="?limit=1")[0]["id"]
    check("drifter", "GET", CHANNELS, 200, guild_id=guild)


def channels(check):
    sandbox = check.sandbox
    no_text = {"Talk", "Back Room", "Attic", "ideas", "pictures"}
    abroad = {"general", "random", "read-only", "elsewhere"}
    for name, channel in sandbox.channels.items():
        if name in abroad:
            continue
        status = 400 if name in no_text else 200
        check("keeper", "GET", CHANNEL, 200, channel_id=channel)
        check("keeper", "POST", MESSAGES, status, {"content": "hello"}, channel_id=channel)
        check("keeper", "GET", MESSAGES, status, channel_id=channel)
    channel = sandbox.channels["locked"]
    check("ranger", "GET", CHANNEL, 403, channel_id=channel)
    check("ranger", "POST", MESSAGES, 403, {"content": "no"}, channel_id=channel)
    channel = sandbox.channels["read-only"]
    check("scout", "POST", MESSAGES, 403, {"content": "no"}, channel_id=channel)


def messages(check):
    sandbox = check.sandbox
    channel = sandbox.channels["general"]
    crew = sandbox.channels["crew-or-quiet"]

    def post(status, body, bot="scout", channel=channel):
        return check(bot, "POST", MESSAGES, status, body, channel_id=channel)

    button = {"type": 2, "style": 1, "label": "press", "custom_id": "press"}
    link = {"type": 2, "style": 5, "label": "look", "url": "https://example.com"}
    embed = {
        "title": "t", "description": "d", "url": "https://example.com", "color": 255,
        "timestamp": "2026-11-05T12:00:00Z", "author": {"name": "a"}, "footer": {"text": "f"},
        "image": {"url": "https://example.com/i.png"},
        "thumbnail": {"url": "https://example.com/i.png"},
        "fields": [{"name": "n", "value": "v", "inline": True}],
    }
    media = {"text": "a", "emoji": {"name": "👍"}}
    poll = {"question": {"text": "?"}, "answers": [{"poll_media": media}]}
    first = post(200, {"content": "first", "nonce": "n", "enforce_nonce": True})
    post(200, {"content": "again", "nonce": "n", "enforce_nonce": True})
    post(200, {"content": "number", "nonce": 7, "tts": True, "flags": 4096})
    post(200, {"embeds": [embed]})
    post(200, {"sticker_ids": ["1"]})
    post(200, {"poll": poll})
    post(200, {"content": "c", "components": [{"type": 1, "components": [button, link]}]})
    post(200, {"flags": 1 << 15, "components": [{"type": 10, "content": "text"}]})
    post(200, {"content": "re", "message_reference": {"message_id": first["id"]}})
    forward = {"type": 1, "message_id": first["id"], "channel_id": channel}
    post(200, {"message_reference": forward})
    ids = [sandbox.bots[name]["id"] for name in ("scout", "scribe")]
    post(200, {"content": f"@everyone <@{ids[0]}> <@{ids[1]}>"})
    roles = check("ranger", "GET", ROLES, 200, guild_id=sandbox.workshop)
    text = " ".join(f"<@&{role['id']}>" for role in roles)
    post(200, {"content": text}, "ranger", crew)
    for body in [
        {}, {"content": "x" * 2001}, {"embeds": [{}]}, {"nonce": "x" * 26, "content": "c"},
        {"components": [{"type": 1, "components": [button] * 6}]}, {"flags": "many"},
        {"content": "c", "message_reference": {"message_id": "7"}},
    ]:
        post(400, body)
    check("scribe", "GET", MESSAGES, 200, channel_id=channel, query="?limit=100")
    check("scribe", "GET", MESSAGES, 400, channel_id=channel, query="?limit=0")
    check("scribe", "GET", MESSAGE, 200, channel_id=channel, message_id=first["id"])
    check("scribe", "GET", MESSAGE, 404, channel_id=channel, message_id="7")


def limits(check):
    """Runs into a limit of every route that takes no more than a look."""
    sandbox = check.sandbox
    for scope in ["user", "shared", "global", "none"]:
        for method, template in ROUTES:
            rule = {"do": {"rate_limit": {"scope": scope, "retry_after": 1.5}}}
            sandbox.ask(None, "POST", "/_sandbox/faults", rule)
            body = {"content": "c"} if method == "POST" else None
            ids = dict(guild_id=1, user_id=1, channel_id=1, message_id=1)
            check("scout", method, template, 429, body, **ids)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    binary, description = sys.argv[1:]
    try:
        with open(description, encoding="utf-8") as file:
            description = json.load(file)
    except FileNotFoundError:
        print(f"SKIPPED: no discord-openapi.json at {description}: nothing was checked")
        return
    needless = depart(description)
    sandbox = Sandbox(binary)
    try:
        check = Checks(sandbox, description)
        for part in [users_and_guilds, channels, messages, limits]:
            part(check)
    finally:
        sandbox.end()
    missing = set(ROUTES) - check.asked
    check.failures.extend(f"never asked: {method} {path}" for method, path in missing)
    check.failures.extend(f"described by now, so do not depart: {name}" for name in needless)
    for failure in check.failures:
        print("FAILED:", failure)
    print(f"{check.count} answers held against the description, {len(check.failures)} failures")
    sys.exit(bool(check.failures))


if __name__ == "__main__":
    main()
