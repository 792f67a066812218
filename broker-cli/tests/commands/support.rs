//! Runs commands within the test's own process, where an embedded broker outlives a command.

use broker::Broker;
use broker_cli::{Exit, Terminal};
use serde_json::Value;

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: Exit,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Answer {
    /// The objects of the output, one for each line.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.output
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The only object of the output.
    pub(crate) fn object(&self) -> Value {
        let [object] = &self.objects()[..] else {
            panic!("one object was expected: {self:?}")
        };
        object.clone()
    }

    /// The same, once it is clear that all went well.
    pub(crate) fn good(self) -> Self {
        assert_eq!(
            (self.exit, self.errors.as_str()),
            (Exit::Success, ""),
            "{}",
            self.output
        );
        self
    }
}

/// Runs a command with `input` as its standard input.
pub(crate) async fn with_input(arguments: &[&str], mut input: &[u8]) -> Answer {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut terminal = Terminal {
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
    };
    let arguments = std::iter::once("broker")
        .chain(arguments.iter().copied())
        .map(Into::into);
    let exit = broker_cli::run(arguments, &mut terminal).await;
    Answer {
        exit,
        output: String::from_utf8(output).unwrap(),
        errors: String::from_utf8(errors).unwrap(),
    }
}

/// Runs a command without any input.
pub(crate) async fn run(arguments: &[&str]) -> Answer {
    with_input(arguments, b"").await
}

/// An embedded broker whose streams the commands see that name the same URL.
pub(crate) async fn broker(url: &str) -> Broker {
    Broker::connect(url).await.unwrap()
}
