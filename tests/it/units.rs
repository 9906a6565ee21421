//! What is shipped for systemd and in the package: that it goes together, and with the program.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use discordd::config::{Environment, Settings, socket_candidates};
use toml_edit::{DocumentMut, Item};

use crate::support::daemon::{Folder, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The names in a folder.
fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// A unit: what each key of each section is given, in their order.
struct Unit(BTreeMap<(String, String), Vec<String>>);

impl Unit {
    fn read(name: &str) -> Self {
        let (mut section, mut given) = (String::new(), BTreeMap::<_, Vec<_>>::new());
        for line in read(&format!("systemd/{name}")).lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let heading = line.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            if let Some(heading) = heading {
                heading.clone_into(&mut section);
                continue;
            }
            let (key, value) = line.split_once('=').expect(line);
            let known = key.chars().all(|c| c.is_ascii_alphanumeric());
            assert!(known && !section.is_empty(), "{name}: {line}");
            let key = (section.clone(), key.to_owned());
            given.entry(key).or_default().push(value.to_owned());
        }
        Self(given)
    }

    fn all(&self, section: &str, key: &str) -> &[String] {
        let key = (section.to_owned(), key.to_owned());
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }

    fn one(&self, section: &str, key: &str) -> &str {
        let all = self.all(section, key);
        assert_eq!(all.len(), 1, "{key}: {all:?}");
        &all[0]
    }

    /// A time, in seconds.
    fn seconds(&self, section: &str, key: &str) -> u64 {
        let time = humantime::parse_duration(self.one(section, key)).unwrap();
        time.as_secs()
    }
}

/// What the package holds: where each file is from, and where it goes.
fn assets() -> BTreeMap<String, String> {
    let manifest: DocumentMut = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap().iter();
    let texts = assets.map(|asset| {
        let text = |index: usize| asset.as_array().unwrap().get(index).unwrap().as_str();
        (text(0).unwrap().to_owned(), text(1).unwrap().to_owned())
    });
    texts.collect()
}

#[test]
fn every_file_that_is_shipped_is_in_the_package_and_every_other_has_its_use() {
    let assets = assets();
    for source in assets.keys() {
        let made = source.starts_with("target/");
        assert!(made || root().join(source).is_file(), "{source}");
    }
    for name in names("systemd") {
        let place = &assets[&format!("systemd/{name}")];
        if name == "discordd.sysusers" {
            // It has to end like this there.
            assert_eq!(place, "usr/lib/sysusers.d/discordd.conf");
        } else {
            assert_eq!(place, "usr/lib/systemd/system/", "{name}");
        }
    }
    assert_eq!(assets["config/deb/config.toml"], "etc/discordd/config.toml");
    for name in names("config/deb") {
        let path = format!("config/deb/{name}");
        if assets.contains_key(&path) {
            continue;
        }
        // The package's scripts, and the one that builds it.
        assert!(
            ["build", "postinst", "postrm", "prerm"].contains(&&*name),
            "{name}"
        );
        let script = root().join(&path);
        let parsed = Command::new("/bin/sh").arg("-n").arg(&script).output();
        let parsed = parsed.unwrap();
        assert!(parsed.status.success(), "{name}: {parsed:?}");
    }
}

#[test]
fn the_service_starts_what_is_installed_with_settings_that_can_be_used() {
    let service = Unit::read("discordd.service");
    let start = service.one("Service", "ExecStart").split(' ');
    let [program, command, flags @ ..] = &start.collect::<Vec<_>>()[..] else {
        panic!("it starts nothing");
    };
    let folder = &assets()["target/release/discordd"];
    assert_eq!(*program, format!("/{folder}discordd"));
    assert_eq!(*command, "serve");
    let folder = Folder::new();
    let shipped = read("config/deb/config.toml");
    let door = shipped
        .lines()
        .skip_while(|line| *line != "#[[door]]")
        .take_while(|line| line.len() > 1);
    let door: Vec<_> = door.map(|line| &line[1..]).collect();
    assert!(door.len() > 2, "no door is shown");
    for (name, text) in [
        ("shipped.toml", shipped.clone()),
        ("door.toml", door.join("\n")),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        let check = ["config", "check", "--config", path.to_str().unwrap()];
        let output = run(&[&check[..], flags].concat(), &[]);
        assert!(output.status.success(), "{name}: {output:?}");
    }
    // What it shows as an example names a socket that there is.
    let socket = Unit::read("discordd.socket");
    let name = socket.one("Socket", "FileDescriptorName");
    assert!(
        door.contains(&&*format!("address = \"systemd:{name}\"")),
        "{door:?}"
    );
}

#[test]
fn the_sockets_are_where_callers_look_for_the_daemon() {
    let (unix, tcp) = (
        Unit::read("discordd.socket"),
        Unit::read("discordd-tcp.socket"),
    );
    let usual = &socket_candidates(&Environment::default())[0];
    assert_eq!(unix.one("Socket", "ListenStream"), usual.to_str().unwrap());
    let ports = Settings::default().listen.tcp;
    let ports: Vec<_> = ports.iter().collect();
    assert_eq!(ports, [tcp.one("Socket", "ListenStream")]);
    assert_eq!(tcp.one("Socket", "Service"), "discordd.service");
    let names = [&unix, &tcp].map(|unit| unit.one("Socket", "FileDescriptorName"));
    assert_ne!(names[0], names[1]);
    assert_eq!(unix.one("Socket", "SocketMode"), "0660");
    let group = unix.one("Socket", "SocketGroup");
    let made = format!("g {group} -");
    assert!(
        read("systemd/discordd.sysusers")
            .lines()
            .any(|line| line == made)
    );
    let scripts = ["postinst", "postrm"].map(|name| read(&format!("config/deb/{name}")));
    assert!(scripts[1].contains(group) && scripts[0].contains("systemd-sysusers"));
}

#[test]
fn the_service_keeps_out_of_what_would_take_its_callers_from_it() {
    let service = Unit::read("discordd.service");
    let of_service = |key: &str| service.one("Service", key);
    assert_eq!(of_service("Type"), "notify");
    assert_eq!(of_service("NotifyAccess"), "main");
    assert!(service.seconds("Service", "WatchdogSec") > 0);
    let drain = Settings::default().limits.drain_timeout.as_secs();
    assert!(service.seconds("Service", "TimeoutStopSec") > drain);
    // It would remove the folder of the socket.
    assert_eq!(service.all("Service", "RuntimeDirectory"), [""; 0]);
    // Every caller would be nobody.
    assert_eq!(of_service("PrivateUsers"), "no");
    // Once reached, it takes the sockets down.
    assert_eq!(service.one("Unit", "StartLimitIntervalSec"), "0");
    // A user of this name is made for it, so no group may have it.
    assert_eq!(of_service("DynamicUser"), "yes");
    let socket = Unit::read("discordd.socket");
    assert_ne!(socket.one("Socket", "SocketGroup"), "discordd");
    // One that has a path has to be there.
    for credential in service.all("Service", "LoadCredential") {
        assert!(!credential.contains(['/', ':']), "{credential}");
    }
    let manifest: DocumentMut = read("Cargo.toml").parse().unwrap();
    let depends = manifest["package"]["metadata"]["deb"].get("depends");
    assert!(depends.and_then(Item::as_str).unwrap().contains("systemd"));
}
