//! Members that read and settle by their names.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Membership;
use crate::values::{ConsumerName, GroupName, Result, StreamName};

/// How many are known; beyond it all are forgotten, and join again when they come.
const MOST: usize = 1024;

/// Members that read and settle by their names: what an adapter has for each of them, until that is forgotten.
///
/// It is for adapters to which joining costs something. Who reads by an [endpoint](super::Endpoints) needs none of it.
pub struct Members<M>(Mutex<HashMap<Name, Known<M>>>);

type Name = (StreamName, GroupName, ConsumerName);

struct Known<M> {
    membership: Membership,
    member: Arc<M>,
}

impl<M> Members<M> {
    /// The member on these terms; one that is not known, or known on other terms, joins by `join`.
    ///
    /// # Errors
    ///
    /// What joining answers.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped leaves nothing behind but what `join` does.
    pub async fn of(
        &self,
        membership: &Membership,
        join: impl Future<Output = Result<Arc<M>>>,
    ) -> Result<Arc<M>> {
        let name = (
            membership.stream.clone(),
            membership.group.clone(),
            membership.consumer.clone(),
        );
        let known = |members: &HashMap<_, Known<M>>| {
            let known = members.get(&name)?;
            (known.membership == *membership).then(|| Arc::clone(&known.member))
        };
        if let Some(member) = known(&self.lock()) {
            return Ok(member);
        }
        let member = join.await?;
        let mut members = self.lock();
        // Of two that joined at once both go on with the first.
        if let Some(first) = known(&members) {
            return Ok(first);
        }
        if members.len() >= MOST {
            members.clear();
        }
        let known = Known {
            membership: membership.clone(),
            member: Arc::clone(&member),
        };
        members.insert(name, known);
        Ok(member)
    }

    /// Forgets those of a group.
    pub fn forget(&self, stream: &StreamName, group: &GroupName) {
        let mut members = self.lock();
        let gone: Vec<_> = members
            .extract_if(|(of_stream, of_group, _), _| (of_stream, of_group) == (stream, group))
            .collect();
        drop(members);
        drop(gone);
    }

    /// Forgets all.
    pub fn clear(&self) {
        // What they do as they go is done without the lock.
        let gone = std::mem::take(&mut *self.lock());
        drop(gone);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Known<M>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> Default for Members<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M> fmt::Debug for Members<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::time::Duration;

    use super::*;
    use crate::values::{Ordering, StartPosition};

    fn membership(consumer: &str) -> Membership {
        Membership {
            stream: StreamName::new("orders").unwrap(),
            group: GroupName::new("billing").unwrap(),
            consumer: ConsumerName::new(consumer).unwrap(),
            start: StartPosition::Earliest,
            ordering: Ordering::Publish,
            lease: Duration::from_secs(1),
        }
    }

    async fn of(members: &Members<u32>, membership: &Membership, joins: u32) -> u32 {
        let member = members.of(membership, ready(Ok(Arc::new(joins)))).await;
        *member.unwrap()
    }

    #[tokio::test]
    async fn one_is_known_on_its_terms_until_it_is_forgotten() {
        let members = Members::default();
        let one = membership("one");
        assert_eq!(of(&members, &one, 1).await, 1);
        assert_eq!(of(&members, &one, 2).await, 1);
        assert_eq!(of(&members, &membership("other"), 3).await, 3);
        let longer = Membership {
            lease: Duration::from_secs(2),
            ..one.clone()
        };
        assert_eq!(of(&members, &longer, 4).await, 4, "it came on other terms");
        assert_eq!(of(&members, &longer, 5).await, 4);
        members.forget(&one.stream, &GroupName::new("shipping").unwrap());
        assert_eq!(of(&members, &longer, 6).await, 4, "of another group");
        members.forget(&one.stream, &one.group);
        assert_eq!(of(&members, &longer, 6).await, 6);
        members.clear();
        assert_eq!(of(&members, &longer, 7).await, 7);
    }

    #[tokio::test]
    async fn of_two_that_join_at_once_both_go_on_with_the_first() {
        let members = Members::default();
        let one = membership("one");
        let second = async {
            assert_eq!(of(&members, &one, 1).await, 1);
            Ok(Arc::new(2))
        };
        assert_eq!(*members.of(&one, second).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn there_is_a_bound_to_them() {
        let members = Members::default();
        for number in 0..=MOST {
            of(&members, &membership(&number.to_string()), 1).await;
        }
        assert_eq!(members.lock().len(), 1);
    }
}
