//! The one question of Kafka's protocol that tests need to know whether a broker is up.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long a broker may take to answer before it counts as not up yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// A metadata request, version 0, about no topic: its length, key 3, version, correlation, no client's name, and a
/// topic that nobody has, as none would mean all.
const METADATA: &[u8] = b"\0\0\0\x13\0\x03\0\0\0\0\0\x07\xff\xff\0\0\0\x01\0\x03up?";

/// How many brokers take part, by the word of the one that listens at `port` without password and TLS.
pub(super) fn brokers_alive(port: u16) -> io::Result<usize> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(METADATA)?;
    // Length, correlation, and the count of the brokers that follow.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    let [_, _, _, _, _, _, _, _, count @ ..] = answer;
    Ok(usize::try_from(i32::from_be_bytes(count)).unwrap_or_default())
}
