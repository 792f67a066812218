use broker_testkit::*;
#[test]
fn all() {
    let partitions = std::env::var("P").unwrap_or("1".into());
    let level: Level = std::env::var("L").unwrap_or("quick".into()).parse().unwrap();
    let harness = UrlHarness::new(
        &broker_inline::PROVIDER,
        format!("inline://tmp?partitions={partitions}"),
    );
    let filter: Vec<String> = std::env::var("F")
        .ok()
        .map(|f| f.split(',').map(str::to_owned).collect())
        .unwrap_or_default();
    let report = Suite::new(harness).run(level, &filter).unwrap();
    for check in &report.checks {
        println!(
            "{:40} {:6} ms {:?} {} {}",
            check.id,
            check.ms,
            check.outcome,
            check.reason.clone().unwrap_or_default(),
            check.ledger.clone().unwrap_or_default()
        );
    }
    println!("{}", report.summary());
}
