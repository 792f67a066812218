//! Scripts: what two commands would tear apart.

use redis::{Cmd, ToRedisArgs};

/// A script and the hash that the server knows it by.
#[derive(Debug)]
pub struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    /// The script with this code.
    #[must_use]
    pub fn new(code: &'static str) -> Self {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Self { code, hash }
    }

    /// The call with its keys; arguments follow.
    #[must_use]
    pub fn call(&self, keys: &[&str]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len());
        for key in keys {
            command.arg(*key);
        }
        command
    }

    /// A call whose keys and arguments follow in any order.
    #[must_use]
    pub fn prepare(&self) -> Call<'_> {
        Call {
            script: self,
            keys: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// The command that makes the server know the script.
    #[must_use]
    pub fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.code);
        command
    }
}

/// A script's call that is put together.
#[derive(Debug)]
pub struct Call<'a> {
    script: &'a Script,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl<'a> Call<'a> {
    /// Adds a key.
    pub fn key(&mut self, key: impl ToRedisArgs) -> &mut Self {
        key.write_redis_args(&mut self.keys);
        self
    }

    /// Adds an argument.
    pub fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// The script.
    #[must_use]
    pub fn script(&self) -> &'a Script {
        self.script
    }

    /// The command.
    #[must_use]
    pub fn command(&self) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.script.hash).arg(self.keys.len());
        for word in self.keys.iter().chain(&self.arguments) {
            command.arg(word.as_slice());
        }
        command
    }
}
