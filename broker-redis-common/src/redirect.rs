//! A node's answer that another one is to be asked.

use redis::Value;

use crate::address::Address;

/// A node's answer that another one is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) slot: u16,
    /// Whether only this once, as the slot is on the move.
    pub(crate) ask: bool,
    host: String,
    port: u16,
}

impl Redirect {
    /// Reads `MOVED 3999 127.0.0.1:6381`.
    pub(crate) fn of(answer: &Value) -> Option<Self> {
        let Value::ServerError(refusal) = answer else {
            return None;
        };
        let ask = match refusal.code() {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        Self::parse(refusal.details()?, ask)
    }

    fn parse(detail: &str, ask: bool) -> Option<Self> {
        let mut words = detail.split_whitespace();
        let slot = words.next()?.parse().ok()?;
        // An address of version 6 has colons of its own.
        let (host, port) = words.next()?.rsplit_once(':')?;
        Some(Self {
            slot,
            ask,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().ok()?,
        })
    }

    /// Where to ask, as told by the server at `from`.
    pub(crate) fn address(&self, from: &Address) -> Address {
        from.sibling(&self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_the_node() {
        let from = Address::Tcp {
            host: "a".to_owned(),
            port: 1,
            tls: true,
        };
        let to = |detail: &str| {
            let redirect = Redirect::parse(detail, false)?;
            Some(redirect.address(&from).to_string())
        };
        assert_eq!(to("3999 127.0.0.1:6381").unwrap(), "127.0.0.1:6381");
        assert_eq!(to("3999 ::1:6381").unwrap(), "[::1]:6381");
        // The server does not know its own name: it is the one that was asked.
        assert_eq!(to("3999 :6381").unwrap(), "a:6381");
        for odd in [
            "",
            "3999",
            "x 127.0.0.1:6381",
            "3999 127.0.0.1",
            "3999 127.0.0.1:99999",
        ] {
            assert_eq!(to(odd), None, "{odd}");
        }
    }
}
