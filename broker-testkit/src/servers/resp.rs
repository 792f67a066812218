//! The few words of Redis' protocol that tests need to reach a server past every adapter.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long a server may take for an answer before the test counts it as dead.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a server answered to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing, as for a missing key.
    Nil,
    /// A number.
    Number(i64),
    /// A status or a string.
    Text(Vec<u8>),
    /// An error, in the server's words.
    Error(String),
    /// Several.
    List(Vec<Reply>),
}

impl Reply {
    /// The text, without what is not UTF-8 in it; empty for anything else.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Self::Number(number) => number.to_string(),
            Self::Error(error) => error.clone(),
            Self::Nil | Self::List(_) => String::new(),
        }
    }

    /// The number, where it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The parts, where there are several.
    #[must_use]
    pub fn as_list(&self) -> &[Self] {
        match self {
            Self::List(parts) => parts,
            _ => &[],
        }
    }
}

/// A connection that asks one thing at a time.
pub(super) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects to the server that listens at `socket`.
    pub(super) fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command and reads its answer.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).unwrap_or(("", ""));
        match kind {
            "+" => Ok(Reply::Text(rest.as_bytes().to_vec())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Number(number(rest)?)),
            "$" => match usize::try_from(number(rest)?) {
                Ok(length) => {
                    let mut text = vec![0; length];
                    self.stream.read_exact(&mut text)?;
                    self.line()?;
                    Ok(Reply::Text(text))
                }
                Err(_) => Ok(Reply::Nil),
            },
            "*" => match usize::try_from(number(rest)?) {
                Ok(count) => Ok(Reply::List(
                    (0..count).map(|_| self.reply()).collect::<io::Result<_>>()?,
                )),
                Err(_) => Ok(Reply::Nil),
            },
            _ => Err(io::Error::other(format!("the server answered {line:?}"))),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

fn number(text: &str) -> io::Result<i64> {
    text.parse()
        .map_err(|_| io::Error::other(format!("{text:?} is not a number")))
}
