//! The node under test, and between it and the world the mutation that breaks it. Decides nothing itself.

use haa_core::effect::Effect;
use haa_core::input::Input;
use haa_core::node::{Config, Node};
use haa_core::units::Millis;

use crate::mutation::{Broken, Mutation};

/// A node, perhaps a broken one.
#[derive(Clone, Debug)]
pub struct Brain {
    node: Node,
    mutation: Option<Mutation>,
}

impl Brain {
    /// A new node.
    #[must_use]
    pub fn new(config: Config, broken: Option<Broken>) -> Self {
        let node = Node::new(config);
        match broken {
            None => Self { node, mutation: None },
            Some(Broken::Between(mutation)) => Self { node, mutation: Some(mutation) },
            Some(Broken::Within(mechanism)) => {
                Self { node: node.without(mechanism), mutation: None }
            }
            Some(Broken::Both(one, other)) => {
                Self { node: node.without(one).without(other), mutation: None }
            }
        }
    }

    /// Learn, decide, wish.
    pub fn handle(&mut self, now: Millis, input: &Input) -> Vec<Effect> {
        let Some(mutation) = self.mutation else {
            return self.node.handle(now, input);
        };
        let mut input = input.clone();
        mutation.bend_input(now, &mut input);
        let mut effects = self.node.handle(now, &input);
        mutation.bend_effects(&mut effects);
        effects
    }

    /// When it wants to be woken.
    #[must_use]
    pub fn deadline(&self) -> Millis {
        self.node.deadline()
    }
}

impl serde::Serialize for Brain {
    /// The node: the mutation is the same in all that is compared.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.node.serialize(serializer)
    }
}
