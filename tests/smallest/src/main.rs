//! Publishes, reads and acknowledges on a provider that this program names in text only.

use broker::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let broker = Broker::connect("inline://").await?;
    broker.publish("orders", Message::text("one coffee")).await?;
    for delivery in broker.read("orders", "billing", 10).await? {
        println!("{} by {}: {:?}", delivery.ack().await?.took_effect(), broker.provider(), delivery.payload());
    }
    broker.close().await
}

#[cfg(test)]
mod tests {
    use broker::ErrorKind;
    use broker::registry::Registry;

    #[test]
    fn a_provider_is_found_that_nothing_mentions() {
        let registry = Registry::linked().unwrap();
        let names: Vec<_> = registry.iter().map(|provider| provider.name()).collect();
        assert_eq!(names, ["inline"]);
    }

    #[tokio::test]
    async fn one_that_is_not_linked_is_answered_with_the_line_to_add() {
        let error = broker::Broker::connect("kafka://localhost:9092").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("add to Cargo.toml: broker = {"), "{error}");
    }
}
