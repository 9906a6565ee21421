//! What is shipped for containers and Kubernetes: that it agrees with itself and with the program. That it
//! runs is tried by `tests/container/run`.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::json;

use crate::support::{
    authority::{Authority, Issued},
    daemon::{Daemon, Folder, run},
    http::Client,
    sandbox::SandboxProcess,
};

const DOCKERFILE: &str = include_str!("../../config/container/Dockerfile");
const COMPOSE: &str = include_str!("../../config/container/compose.yaml");
const SIDECAR: &str = include_str!("../../config/kubernetes/sidecar.yaml");
const DEPLOYMENT: &str = include_str!("../../config/kubernetes/deployment.yaml");
const MANIFESTS: [&str; 3] = [COMPOSE, SIDECAR, DEPLOYMENT];
const CARGO: &str = include_str!("../../Cargo.toml");
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/container/config.toml");
/// Where the image has the program.
const PROGRAM: &str = "/usr/bin/discordd";

/// What stands behind each occurrence of `start`, to the end of the line.
fn behind<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let found = text.split(start).skip(1);
    found
        .map(|rest| rest.lines().next().unwrap().trim())
        .collect()
}

/// The words of a list in brackets, quoted or not.
fn words(list: &str) -> Vec<&str> {
    let inside = list.trim_start_matches('[').split(']').next().unwrap();
    let words = inside.split(',').map(|word| word.trim().trim_matches('"'));
    words.collect()
}

/// A setting as the container has it.
fn setting(key: &str) -> String {
    let output = run(&["config", "show", "--config", CONFIG], &[]);
    let shown = String::from_utf8(output.stdout).unwrap();
    let value = behind(&shown, &format!("\n{key} = "))[0];
    value.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn the_settings_of_the_container_can_be_used_and_are_where_the_image_says() {
    let checked = run(&["config", "check", "--config", CONFIG], &[]);
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(behind(DOCKERFILE, "VOLUME "), ["[\"/run/discordd\"]"]);
    assert_eq!(setting("unix"), "/run/discordd/discordd.sock");
    assert_eq!(behind(DOCKERFILE, "EXPOSE "), ["9091"]);
    assert_eq!(setting("tcp"), "0.0.0.0:9091");
    assert!(DOCKERFILE.contains("config/container/config.toml /etc/discordd/config.toml"));
    // Nothing is published but on loopback.
    assert_eq!(behind(COMPOSE, "ports: "), ["[\"127.0.0.1:9091:9091\"]"]);
    assert_eq!(behind(DEPLOYMENT, "containerPort: "), ["9091"]);
}

#[test]
fn the_image_is_of_this_version_and_built_as_cargo_says() {
    let version = env!("CARGO_PKG_VERSION");
    let label = format!("image.version=\"{version}\"");
    assert!(DOCKERFILE.contains(&label));
    let tags = [DOCKERFILE, COMPOSE, SIDECAR, DEPLOYMENT].map(|text| behind(text, "discordd:"));
    // In a volume a path stands behind the name.
    let of_digit = |tag: &&str| tag.starts_with(|c: char| c.is_ascii_digit());
    let tags: Vec<&str> = tags.concat().into_iter().filter(of_digit).collect();
    assert_eq!(tags.len(), 7, "{tags:?}");
    for tag in tags {
        assert_eq!(tag.split(' ').next(), Some(version));
    }
    let profile = behind(DOCKERFILE, "--profile ")[0]
        .split(' ')
        .next()
        .unwrap();
    assert!(CARGO.contains(&format!("\n[profile.{profile}]\n")));
    assert!(DOCKERFILE.contains(&format!("cp target/{profile}/discordd ")));
    let number = |text: &str| -> u32 { text.split('.').nth(1).unwrap().parse().unwrap() };
    let compiler = behind(DOCKERFILE, "FROM rust:")[0]
        .split('-')
        .next()
        .unwrap();
    let wanted = behind(CARGO, "rust-version = \"")[0].trim_end_matches('"');
    assert!(number(compiler) >= number(wanted), "{compiler} {wanted}");
}

#[test]
fn every_probe_is_a_command_that_a_healthy_daemon_passes() {
    let daemon = Daemon::start("http://127.0.0.1:9", &[]);
    let socket = [("DISCORDD_LISTEN__UNIX", daemon.socket.to_str().unwrap())];
    assert_eq!(
        behind(DOCKERFILE, "ENTRYPOINT "),
        [format!("[\"{PROGRAM}\"]")]
    );
    let probes = [
        behind(DOCKERFILE, "    CMD "),
        behind(SIDECAR, "  command: "),
    ]
    .concat();
    assert_eq!(probes.len(), 4);
    for probe in probes {
        let probe = words(probe);
        assert_eq!(probe[0], PROGRAM);
        let seen = run(&probe[1..], &socket);
        assert!(seen.status.success(), "{probe:?}: {seen:?}");
    }
    for command in [behind(DOCKERFILE, "\nCMD "), behind(COMPOSE, "command: ")].concat() {
        // It is for the program to say no to what it does not know; `--help` is always known.
        let seen = run(&[&words(command)[..1], &["--help"]].concat(), &[]);
        assert!(seen.status.success(), "{command}: {seen:?}");
    }
}

#[test]
fn everything_runs_as_the_owner_of_the_socket_without_rights() {
    assert_eq!(behind(DOCKERFILE, "\nUSER "), ["65532:65532"]);
    assert!(DOCKERFILE.contains("--chown=65532:65532 /image/run /run/discordd"));
    assert_eq!(behind(COMPOSE, "user: "), ["\"65532:65532\""]);
    for text in [SIDECAR, DEPLOYMENT] {
        for key in ["runAsUser: ", "runAsGroup: ", "fsGroup: "] {
            assert_eq!(behind(text, key), ["65532"], "{key}");
        }
        assert_eq!(behind(text, "enableServiceLinks: "), ["false"]);
        let containers = text.matches(" image: ").count();
        for line in [
            "readOnlyRootFilesystem: true",
            "allowPrivilegeEscalation: false",
            "drop: [ALL]",
        ] {
            assert_eq!(text.matches(line).count(), containers, "{line}");
        }
    }
    let services = COMPOSE.matches(" image: ").count();
    for line in [
        "read_only: true",
        "cap_drop: [ALL]",
        "no-new-privileges:true",
    ] {
        assert_eq!(COMPOSE.matches(line).count(), services, "{line}");
    }
}

#[test]
fn calls_under_way_have_the_time_that_the_daemon_gives_them() {
    let drain: Duration = humantime::parse_duration(&setting("drain_timeout")).unwrap();
    let waits = [
        behind(DOCKERFILE, "--stop-timeout "),
        behind(COMPOSE, "stop_grace_period: "),
        behind(SIDECAR, "terminationGracePeriodSeconds: "),
        behind(DEPLOYMENT, "terminationGracePeriodSeconds: "),
    ]
    .concat();
    assert_eq!(waits.len(), 4);
    // The pause before the end is part of a pod's grace.
    let pause: u64 = behind(DEPLOYMENT, "seconds: ")[0].parse().unwrap();
    for wait in waits {
        let digits = wait.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        let wait: u64 = digits.parse().unwrap();
        assert!(wait > drain.as_secs(), "{wait}");
    }
    let grace: u64 = behind(DEPLOYMENT, "terminationGracePeriodSeconds: ")[0]
        .parse()
        .unwrap();
    assert!(grace > drain.as_secs() + pause);
}

#[test]
fn every_variable_is_a_setting() {
    let of_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let mut names = BTreeSet::new();
    for text in [
        &MANIFESTS[..],
        &[
            DOCKERFILE,
            include_str!("../../config/container/config.toml"),
        ],
    ]
    .concat()
    {
        for rest in text.split("DISCORDD_").skip(1) {
            let end = rest.find(|c| !of_name(c)).unwrap_or(rest.len());
            names.insert(rest[..end].to_owned());
        }
    }
    // What Kubernetes sets for a Service, and no setting.
    assert!(names.remove("PORT"));
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let variable = format!("DISCORDD_{name}");
        let value = if name.ends_with("URL") {
            "http://a"
        } else {
            ""
        };
        let output = run(&["config", "show"], &[(&variable, value)]);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            shown.contains(&format!("# {variable}\n")),
            "{variable}: {shown}"
        );
    }
}

/// The settings of the Deployment, as its `ConfigMap` has them.
fn of_the_deployment() -> String {
    let block = DEPLOYMENT.split("  config.toml: |\n").nth(1).unwrap();
    let block = block.split("\n---\n").next().unwrap();
    block.lines().fold(String::new(), |text, line| {
        text + line.strip_prefix("    ").unwrap_or("") + "\n"
    })
}

#[test]
fn a_daemon_of_the_deployment_takes_calls_over_tls_from_who_knows_the_secret() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = Authority::new();
    let Issued { certificate, key } = authority.issue("localhost");
    let secret = file("secret", "bGlua2VkIGJ5IG5vdGhpbmcgYnV0IGNoYW5jZQ==\n");
    let mut settings = of_the_deployment();
    for (there, here) in [
        ("0.0.0.0:9091", "127.0.0.1:0"),
        ("/run/secrets/discordd-callers/secret", &secret),
        (
            "/run/secrets/discordd-tls/tls.crt",
            &file("tls.crt", &certificate.pem()),
        ),
        (
            "/run/secrets/discordd-tls/tls.key",
            &file("tls.key", &key.serialize_pem()),
        ),
    ] {
        assert_eq!(settings.matches(there).count(), 1, "{there}");
        settings = settings.replace(there, here);
    }
    // What is mounted is what the settings name.
    for path in behind(DEPLOYMENT, "mountPath: ") {
        assert!(
            path == "/etc/discordd" || DEPLOYMENT.contains(&format!("{path}/")),
            "{path}"
        );
    }
    let config = file("config.toml", &settings);
    let base_url = format!("http://{}", sandbox.line.http);
    let daemon = Daemon::with(&["serve", "--config", &config], &base_url, &[]);

    let authority = authority.certificate.pem();
    for path in behind(DEPLOYMENT, "path: ") {
        let (mut client, _) = Client::tls(daemon.tcp, &authority, &["http/1.1"]);
        assert_eq!(client.send("GET", path, &[], b"").status, 200, "{path}");
    }
    let (mut client, _) = Client::tls(daemon.tcp, &authority, &["http/1.1"]);
    assert_eq!(client.send("GET", "/health", &[], b"").status, 403);

    let url = format!("https://localhost:{}", daemon.tcp.port());
    let ca_file = file("ca.pem", &authority);
    let channel = format!("channel_id={}", sandbox.channel("general"));
    let call = ["call", "discord.sendMessage", &channel, "content=hi"];
    let there = ["--url", &url, "--ca-file", &ca_file];
    let token = [("DISCORD_TOKEN", sandbox.token(0))];
    let refused = run(&[&call[..], &there].concat(), &token);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let with_secret = ["--secret-file", &secret];
    let sent = run(&[&call[..], &there, &with_secret].concat(), &token);
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(sandbox.texts("general"), [json!("hi")]);
}
