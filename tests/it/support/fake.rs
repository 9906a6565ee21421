//! A daemon that is none: it tells what it was asked, and answers what it was given.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::mpsc::{Receiver, channel},
    thread,
};

use super::daemon::Folder;

/// A Unix socket that takes one line from each connection.
pub(crate) struct Fake {
    pub(crate) socket: PathBuf,
    requests: Receiver<String>,
    _folder: Folder,
}

impl Fake {
    /// Answers every line with these bytes and closes; without any it neither answers nor closes.
    pub(crate) fn answering(answer: Option<&str>) -> Self {
        let folder = Folder::new();
        let socket = folder.join("s.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, requests) = channel();
        let answer = answer.map(str::to_owned);
        // Ends with the test's process.
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                // A test that has seen enough may be over.
                let _ = sender.send(line);
                match &answer {
                    Some(answer) => stream.get_mut().write_all(answer.as_bytes()).unwrap(),
                    None => held.push(stream),
                }
            }
        });
        Self {
            socket,
            requests,
            _folder: folder,
        }
    }

    /// What it was asked, waited for.
    pub(crate) fn asked(&self) -> String {
        self.requests.recv().unwrap()
    }

    pub(crate) fn path(&self) -> &str {
        self.socket.to_str().unwrap()
    }
}
