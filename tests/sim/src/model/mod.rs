//! The model check: the same node in small worlds, through every order of events. Never draws a number.
//!
//! | module | owns |
//! |---|---|
//! | [`explore`] | the search: breadth first, each state once, the shortest way to a violation |
//! | [`scope`], [`worlds`] | the bounds of a world, and the worlds of each verification |
//! | [`state`] | a world of two or three members |
//! | [`choices`], [`action`], [`sentence`] | what can happen next, what it does, how it is told |
//! | [`adapter`] | between a node and the world: inputs, effects, etcd's answers |
//! | `agent`, [`work`], [`server`] | an agent begins and ends, its job slot, its Postgres |
//! | [`judge`], [`sometimes`] | the invariants, and what must happen somewhere |
//! | [`begin`] | a cluster that is formed, from nothing |
//! | [`digest`], `words` | when two states are one |

pub mod action;
pub mod adapter;
mod agent;
pub mod begin;
pub mod choices;
pub mod digest;
pub mod explore;
pub mod judge;
pub mod scope;
pub mod sentence;
pub mod server;
pub mod sometimes;
pub mod state;
mod words;
pub mod work;
pub mod worlds;
