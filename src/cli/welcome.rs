//! What `discordd serve --sandbox` shows: the bots, and lines to paste.

use std::{
    fmt::{self, Write as _},
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
};

use crate::{
    listener::{Door, Socket},
    sandbox::{Bot, Channel, Sandbox},
};

/// Writes the welcome to stdout. A reader that is gone is no reason not to serve.
pub(super) fn print(sandbox: &Sandbox, doors: &[Door]) {
    let mut text = String::new();
    write(&mut text, sandbox, doors).expect("a String takes any text");
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

fn write(text: &mut String, sandbox: &Sandbox, doors: &[Door]) -> fmt::Result {
    writeln!(
        text,
        "This is the sandbox, not Discord: nothing leaves this machine, and nothing is kept.\n"
    )?;
    for bot in &sandbox.bots {
        writeln!(text, "bot      {:<9} {}", bot.name, bot.token)?;
    }
    writeln!(text, "guild              {}", sandbox.guild_id)?;
    for channel in &sandbox.channels {
        writeln!(text, "channel  {:<9} {}", channel.name, channel.id)?;
    }
    match (sandbox.bots.first(), sandbox.channels.first()) {
        (Some(bot), Some(channel)) => write_lines(text, (bot, channel, sandbox.http), doors),
        _ => Ok(()),
    }
}

/// Writes the lines that post as `bot` in `channel`, and one that asks the sandbox what was posted.
fn write_lines(
    text: &mut String,
    (bot, channel, sandbox): (&Bot, &Channel, SocketAddr),
    doors: &[Door],
) -> fmt::Result {
    writeln!(text, "\nLines to paste in another shell:\n")?;
    writeln!(text, "T={}", bot.token)?;
    writeln!(text, "C={}", channel.id)?;
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"discord.sendMessage","params":{"discord_token":"'$T'","channel_id":"'$C'","content":"hi"}}"#;
    let json = "-H 'content-type: application/json'";
    // As it was started, so that the line works where it is not on the PATH.
    let program = std::env::current_exe();
    let program = program.unwrap_or_else(|_| PathBuf::from(env!("CARGO_PKG_NAME")));
    let program = program.display();
    for door in doors {
        match &door.socket {
            Socket::Unix(socket) => {
                let path = socket.path().display();
                writeln!(text, "S={path}")?;
                writeln!(text, "echo '{message}' | nc -NU $S")?;
                let call = "call discord.sendMessage channel_id=$C content=hi";
                writeln!(text, "DISCORD_TOKEN=$T {program} {call} --socket $S")?;
                writeln!(
                    text,
                    "curl -s --unix-socket $S http://localhost/ {json} -d '{message}'"
                )?;
            }
            Socket::Tcp(listener) => {
                let Ok(address) = listener.local_addr() else {
                    continue;
                };
                let (ip, port) = (address.ip(), address.port());
                writeln!(text, "echo '{message}' | nc -N {ip} {port}")?;
                writeln!(text, "curl -s http://{address}/ {json} -d '{message}'")?;
                writeln!(text, "echo '{message}' | websocat -t -n1 ws://{address}")?;
                writeln!(text, "curl -sf http://{address}/health")?;
            }
        }
    }
    let url = format!("http://{sandbox}/api/v10/channels/{}", channel.id);
    let read = format!("curl -s {url}/messages -H \"Authorization: Bot $T\"");
    writeln!(
        text,
        "\nWhat was posted, asked of the sandbox itself:\n\n{read}\n"
    )
}
