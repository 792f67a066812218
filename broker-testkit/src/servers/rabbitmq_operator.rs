//! What an operator does to a private RabbitMQ server, past every adapter.

use broker_core::{Error, ErrorKind, Result};

use super::RabbitMqServer;
use super::process::run_with_input;
use super::rabbitmq::COOKIE;
use super::rabbitmq_install::{INSTALL, program};

impl RabbitMqServer {
    /// Raises or clears the alarm that the server's memory is used up: while it is raised, who publishes is blocked.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn memory_alarm(&self, raised: bool) -> Result<()> {
        let expression = match raised {
            true => "rabbit_alarm:set_alarm({{resource_limit, memory, node()}, []}).",
            false => "rabbit_alarm:clear_alarm({resource_limit, memory, node()}).",
        };
        self.evaluate(expression).map(drop)
    }

    /// Closes all its connections with clients, as an operator would who gives this reason.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn close_connections(&self, reason: &str) -> Result<()> {
        self.evaluate(&format!(
            "[rabbit_networking:close_connection(Pid, {reason:?}) || Pid <- rabbit_networking:connections()]."
        ))
        .map(drop)
    }

    /// Evaluates an Erlang expression in the server, past every adapter, and hands back what it answered.
    ///
    /// ```no_run
    /// # fn main() -> broker_core::Result<()> {
    /// # let server = broker_testkit::servers::RabbitMqConfig::new().start()?;
    /// assert_eq!(server.evaluate("length(rabbit_amqqueue:list()).")?, "0");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Where the server is down or the expression fails, with what it answered instead.
    pub fn evaluate(&self, expression: &str) -> Result<String> {
        let mut command = program("erl_call");
        // One that is paused does not answer.
        command.args(["-timeout", "10", "-r", "-e", "-c", COOKIE, "-address"]);
        command.arg(format!("localhost:{}", self.distribution_port()));
        command.env("HOME", self.home());
        let answer = run_with_input(command, &format!("{expression}\n"), INSTALL)?;
        match answer
            .trim()
            .strip_prefix("{ok, ")
            .and_then(|rest| rest.strip_suffix('}'))
        {
            Some(value) => Ok(value.to_owned()),
            None => Err(Error::new(
                ErrorKind::Unexpected,
                format!("rabbitmq-server answered `{}`", answer.trim()),
            )),
        }
    }
}
