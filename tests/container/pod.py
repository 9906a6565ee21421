"""Prints config/kubernetes/sidecar.yaml with what podman does not know, or what a user fills in, put in its place.

    pod.py SIDECAR BASE_URL CHANNEL
"""

import os
import sys

import yaml

pod = yaml.safe_load(open(sys.argv[1]))
spec = pod["spec"]
# Native sidecars came with Kubernetes 1.29: podman 4 waits for them to end.
(daemon,) = spec.pop("initContainers")
assert daemon.pop("restartPolicy") == "Always"
(app,) = spec["containers"]
spec["containers"] = [daemon, app]
spec["restartPolicy"] = "Never"
daemon["image"] = "localhost/" + daemon["image"]
daemon["env"].append({"name": "DISCORDD_DISCORD__BASE_URL", "value": sys.argv[2]})
app["image"] = "localhost/" + app["image"]
# Podman 4.3 does not decode secrets.
spec["volumes"] = [volume for volume in spec["volumes"] if "secret" not in volume]
app["volumeMounts"] = [mount for mount in app["volumeMounts"] if mount["name"] == "discordd"]
app["env"] = [{"name": "DISCORD_TOKEN", "value": os.environ["DISCORD_TOKEN"]}]
app["args"] = ["/client/lines.py", sys.argv[3], "from the pod"]
yaml.safe_dump(pod, sys.stdout)
