//! `broker torture-member`: a consumer process of a torture run.

use std::path::PathBuf;

use broker_core::Broker;
use broker_core::registry::Registry;
use broker_testkit::torture::Member;
use clap::Args;
use tokio::io::AsyncBufReadExt as _;

use super::setting;
use crate::exit::Stop;
use crate::session::Session;

/// Consume for a torture run, until standard input ends.
#[derive(Args)]
pub(crate) struct TortureMember {
    #[arg(long)]
    run: String,
    #[arg(long)]
    stream: String,
    #[arg(long)]
    group: String,
    #[arg(long)]
    consumer: String,
    #[arg(long)]
    journal: PathBuf,
    #[arg(long)]
    seed: u64,
    #[arg(long, value_parser = setting)]
    set: Vec<(String, String)>,
}

impl TortureMember {
    pub(crate) async fn run(self, session: &mut Session<'_, '_>) -> Result<(), Stop> {
        let mut settings = session.settings()?;
        for (key, value) in self.set {
            settings.set(&key, value, Some("--set".to_owned()));
        }
        let broker = Broker::from_settings("default", settings, &Registry::linked()?)?;
        let member = Member {
            run: self.run,
            stream: self.stream,
            group: self.group,
            consumer: self.consumer,
            journal: self.journal,
            seed: self.seed,
        };
        let input = session.input();
        // The parent says nothing: its end is that of the input, however it came.
        let leave = async {
            let _at_end = input.read_line(&mut String::new()).await;
        };
        Ok(member.consume(&broker, leave).await?)
    }
}
