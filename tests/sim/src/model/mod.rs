//! The model check: the same node in small worlds, through every order of events. Never draws a number.
//!
//! | module | owns |
//! |---|---|
//! | [`explore`] | the search: breadth first, each state once, the shortest way to a violation |
//! | [`state`] | a world of two or three members |
//! | [`action`] | what can happen next, and its sentence |
//! | [`adapter`] | between a node and the world: inputs, effects, etcd's answers |
//! | [`work`], [`server`] | the job slot, and what happens to a Postgres |
//! | [`judge`] | the invariants |
//! | [`begin`] | a cluster that is formed, from nothing |
//! | [`digest`] | when two states are one |

pub mod action;
pub mod adapter;
pub mod begin;
pub mod digest;
pub mod explore;
pub mod judge;
pub mod sentence;
pub mod server;
pub mod state;
pub mod work;
