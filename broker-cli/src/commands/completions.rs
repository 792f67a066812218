//! `broker completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::exit::Stop;
use crate::session::Session;

/// Write a shell's completions, such as: broker completions bash > /etc/bash_completion.d/broker
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        // Into memory first: the generator panics where its writer fails.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "broker", &mut script);
        session.output().write_all(&script)?;
        Ok(())
    }
}
