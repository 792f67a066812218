//! From the command line to the exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use broker_engine::App;
use clap::Parser;
use clap::error::ErrorKind;
use tokio::io::BufReader;

use crate::arguments::{Arguments, Command};
use crate::exit::{Exit, Stop, one_line};
use crate::log::Log;
use crate::session::Session;
use crate::terminal::Terminal;

/// Runs the command of the process's own arguments, on its standard streams. The subscribers that the program's crates
/// declare by attribute are in it.
#[must_use]
pub fn main() -> ExitCode {
    App::new().main()
}

/// Runs an application from its program's `main`.
pub trait Main {
    /// Runs the command of the process's own arguments, on its standard streams, with this application's subscribers in
    /// it.
    fn main(self) -> ExitCode;
}

impl Main for App {
    fn main(self) -> ExitCode {
        let parsed = Arguments::try_parse_from(std::env::args_os());
        let serves = matches!(&parsed, Ok(arguments) if arguments.command.serves());
        if let Ok(arguments) = &parsed
            && !serves
        {
            Log::new(arguments.global.log.clone()).of_command();
        }
        let mut runtime = if serves {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let runtime = match runtime.enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return report(&error),
        };
        let exit = runtime.block_on(async {
            let mut terminal = Terminal {
                input: &mut BufReader::with_capacity(64 * 1024, tokio::io::stdin()),
                output: &mut std::io::BufWriter::new(std::io::stdout()),
                errors: &mut std::io::stderr(),
            };
            run_parsed(self, parsed, &mut terminal).await
        });
        // A read of standard input can't be called off, and must not keep the process.
        runtime.shutdown_background();
        exit.into()
    }
}

/// Runs the command of `arguments`, the first of which is the program's name.
pub async fn run(arguments: impl IntoIterator<Item = OsString>, terminal: &mut Terminal<'_>) -> Exit {
    run_app(App::new(), arguments, terminal).await
}

/// As [`run`], with an application of which not all is declared by attribute.
pub async fn run_app(
    app: App,
    arguments: impl IntoIterator<Item = OsString>,
    terminal: &mut Terminal<'_>,
) -> Exit {
    run_parsed(app, Arguments::try_parse_from(arguments), terminal).await
}

async fn run_parsed(app: App, parsed: Result<Arguments, clap::Error>, terminal: &mut Terminal<'_>) -> Exit {
    let stop = match parsed {
        Ok(arguments) => {
            let session = Session::new(arguments.global, app, terminal);
            match dispatch(arguments.command, session).await {
                Ok(()) => Stop::quietly(Exit::Success),
                Err(stop) => stop,
            }
        }
        Err(error) => refused(&error, terminal),
    };
    let stop = match terminal.output.flush() {
        Err(error) if stop.exit == Exit::Success => error.into(),
        _ => stop,
    };
    if let Some(line) = stop.line {
        // Where standard error is gone as well, the exit code is all that is left to say.
        let _gone = writeln!(terminal.errors, "error: {line}");
    }
    stop.exit
}

async fn dispatch(command: Command, mut session: Session<'_, '_>) -> Result<(), Stop> {
    let session = &mut session;
    match command {
        Command::Providers(command) => command.run(session),
        Command::Config(command) => command.run(session),
        Command::Ping(command) => command.run(session).await,
        Command::Health(command) => command.run(session).await,
        Command::Publish(command) => command.run(session).await,
        Command::Read(command) => command.run(session).await,
        Command::Tail(command) => command.run(session).await,
        Command::Trace(command) => command.run(session).await,
        Command::Groups(command) => command.run(session).await,
        Command::Dlq(command) => command.run(session).await,
        Command::Server(command) => command.run(session).await,
        Command::Plan(command) => command.run(session),
        #[cfg(feature = "conformance")]
        Command::Conformance(command) => command.run(session).await,
        #[cfg(feature = "conformance")]
        Command::Capabilities(command) => command.run(session),
        #[cfg(feature = "conformance")]
        Command::Torture(command) => command.run(session).await,
        #[cfg(feature = "conformance")]
        Command::TortureMember(command) => command.run(session).await,
        Command::NewAdapter(command) => command.run(session),
        Command::Completions(command) => command.run(session),
    }
}

/// Help and version are answers; anything else is a wrong command line, told in one line.
fn refused(error: &clap::Error, terminal: &mut Terminal<'_>) -> Stop {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match write!(terminal.output, "{text}") {
            Ok(()) => Stop::quietly(Exit::Success),
            Err(error) => error.into(),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _gone = write!(terminal.errors, "{text}");
            Stop::quietly(Exit::Usage)
        }
        _ => {
            let said = text.split("\n\nUsage:").next().unwrap_or(&text);
            let said = said.split("\n\nFor more information").next().unwrap_or(said);
            let said = one_line(said.trim_start_matches("error: ").trim_end());
            Stop::usage(format!("{}; see --help", said.replace(" tip: ", "; ")))
        }
    }
}

fn report(error: &std::io::Error) -> ExitCode {
    use std::io::Write as _;
    let _gone = writeln!(std::io::stderr(), "error: {error}");
    Exit::Failure.into()
}
