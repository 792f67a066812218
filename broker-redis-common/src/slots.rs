//! Which slot of a cluster a command belongs to.

use redis::{Arg, Cmd};

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of a key: of its hash tag, where it has one.
pub(crate) fn slot_of_key(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

/// The slot of the command's key, channel included; nothing where any server will do.
pub(crate) fn slot_of(command: &Cmd) -> Option<u16> {
    let mut words = command.args_iter().map(|word| match word {
        Arg::Simple(word) => word,
        _ => &[],
    });
    let name = words.next()?;
    let is = |names: &[&str]| {
        names
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    let key = if is(&["EVALSHA", "EVAL", "FCALL"]) {
        words
            .nth(1)
            .filter(|count| *count != b"0")
            .and_then(|_| words.next())
    } else if is(&["XINFO", "XGROUP", "OBJECT", "MEMORY"]) {
        words.nth(1)
    } else if is(&["XREAD", "XREADGROUP"]) {
        words.find(|word| word.eq_ignore_ascii_case(b"STREAMS"))?;
        words.next()
    } else if is(KEYLESS) {
        None
    } else {
        words.next()
    };
    key.map(slot_of_key)
}

/// What any server answers.
const KEYLESS: &[&str] = &[
    "PING", "INFO", "TIME", "SCRIPT", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "ROLE", "WAIT", "ASKING",
];

/// The part of a key that decides its slot.
fn tag(key: &[u8]) -> &[u8] {
    let inner = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close)
    });
    inner.filter(|inner| !inner.is_empty()).unwrap_or(key)
}

/// The checksum that Redis' specification names: CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_one_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of_key(b"foo"), 12_182);
        assert_eq!(slot_of_key(b"orders"), slot_of_key(b"{orders}:g:billing:state"));
        assert_eq!(slot_of_key(b"{}orders"), crc16(b"{}orders") % SLOTS);
        assert_ne!(slot_of_key(b"orders"), slot_of_key(b"invoices"));
    }

    #[test]
    fn each_command_goes_to_the_slot_of_its_key() {
        let orders = Some(slot_of_key(b"orders"));
        let command = |words: &[&str]| {
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            command
        };
        for keyed in [
            &["XADD", "orders", "*", "data", "x"][..],
            &["EVALSHA", "hash", "2", "orders", "{orders}:due", "x"],
            &["XINFO", "STREAM", "orders"],
            &["XGROUP", "CREATE", "orders", "g", "0"],
            &[
                "XREADGROUP",
                "GROUP",
                "g",
                "c",
                "BLOCK",
                "5",
                "STREAMS",
                "orders",
                ">",
            ],
            &["BLMOVE", "orders", "{orders}:queue:log", "LEFT", "RIGHT", "5"],
            &["PUBLISH", "{orders}:list:wake", ""],
        ] {
            assert_eq!(slot_of(&command(keyed)), orders, "{keyed:?}");
        }
        for free in [
            &["PING"][..],
            &["SCRIPT", "LOAD", "x"],
            &["EVALSHA", "hash", "0"],
            &["TIME"],
        ] {
            assert_eq!(slot_of(&command(free)), None, "{free:?}");
        }
    }
}
