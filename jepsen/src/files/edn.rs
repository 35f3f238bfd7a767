//! The form that Jepsen's Elle reads. Written of every operation; read back only of transactions over lists,
//! without what Jepsen has no word for: where they took place.

use std::fmt::Write as _;
use std::io::{self, Write};

use adya::history::{History, Mop, OpType, ReadValue, Scalar};
use anyhow::{Context as _, bail};

use crate::history::{Event, Op, Phase, Step};

/// Writes each event as a map, one a line.
pub fn write_edn(to: &mut impl Write, history: &[Event]) -> io::Result<()> {
    let mut line = String::new();
    for event in history {
        line.clear();
        tell(&mut line, event).map_err(io::Error::other)?;
        to.write_all(line.as_bytes())?;
    }
    Ok(())
}

fn tell(line: &mut String, event: &Event) -> std::fmt::Result {
    let phase = match event.phase {
        Phase::Invoke => "invoke",
        Phase::Ok => "ok",
        Phase::Fail => "fail",
        Phase::Info => "info",
    };
    write!(line, "{{:type :{phase}, ")?;
    operation(line, &event.op)?;
    let Event { process, time, index, .. } = event;
    write!(line, ", :process {process}, :time {time}, :index {index}")?;
    if let Some(stamp) = &event.stamp {
        line.push_str(", :node ");
        text(line, &stamp.member)?;
        write!(
            line,
            ", :timeline {}, :lsn {}, :replica {}",
            stamp.timeline, stamp.lsn, stamp.replica
        )?;
    }
    if let Some(error) = &event.error {
        line.push_str(", :error ");
        text(line, error)?;
    }
    line.push_str("}\n");
    Ok(())
}

/// What is asked, by Jepsen's names; a register is a pair of key and value, as in `jepsen.independent`.
fn operation(line: &mut String, op: &Op) -> std::fmt::Result {
    match op {
        Op::Txn(steps) => {
            line.push_str(":f :txn, :value [");
            for (at, step) in steps.iter().enumerate() {
                line.push_str(if at > 0 { " " } else { "" });
                self::step(line, step)?;
            }
            line.push(']');
            Ok(())
        }
        Op::Get { key, value: Some(value) } => write!(line, ":f :read, :value [{key} {value}]"),
        Op::Get { key, value: None } => write!(line, ":f :read, :value [{key} nil]"),
        Op::Put { key, value } => write!(line, ":f :write, :value [{key} {value}]"),
        Op::Cas { key, from, to } => write!(line, ":f :cas, :value [{key} [{from} {to}]]"),
        Op::Transfer { from, to, amount } => {
            write!(line, ":f :transfer, :value {{:from {from}, :to {to}, :amount {amount}}}")
        }
        Op::Balances(Some(balances)) => {
            line.push_str(":f :read, :value {");
            for (account, balance) in balances.iter().enumerate() {
                let between = if account > 0 { ", " } else { "" };
                write!(line, "{between}{account} {balance}")?;
            }
            line.push('}');
            Ok(())
        }
        Op::Add(element) => write!(line, ":f :add, :value {element}"),
        Op::All(Some(elements)) => {
            line.push_str(":f :read, :value ");
            vector(line, elements)
        }
        Op::Balances(None) | Op::All(None) => write!(line, ":f :read, :value nil"),
    }
}

fn step(line: &mut String, step: &Step) -> std::fmt::Result {
    match step {
        Step::Append { key, value } => write!(line, "[:append {key} {value}]"),
        Step::Read { key, list: None } => write!(line, "[:r {key} nil]"),
        Step::Read { key, list: Some(list) } => {
            write!(line, "[:r {key} ")?;
            vector(line, list)?;
            line.push(']');
            Ok(())
        }
    }
}

fn vector(line: &mut String, elements: &[u64]) -> std::fmt::Result {
    line.push('[');
    for (at, element) in elements.iter().enumerate() {
        write!(line, "{}{element}", if at > 0 { " " } else { "" })?;
    }
    line.push(']');
    Ok(())
}

fn text(line: &mut String, text: &str) -> std::fmt::Result {
    line.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(line, "\\{letter}")?,
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            letter if letter.is_control() => line.push(' '),
            letter => line.push(letter),
        }
    }
    line.push('"');
    Ok(())
}

/// Reads transactions over lists, ours or Jepsen's, with numbers for keys and elements. Where they took place
/// is not read.
pub fn read_edn(text: &str) -> anyhow::Result<Vec<Event>> {
    let history = History::from_edn(text).context("it is no history of Jepsen's")?;
    if history.ops.is_empty() {
        bail!("it holds no transactions over lists, and nothing else can be read of this form");
    }
    let mut events = Vec::with_capacity(history.ops.len());
    for op in &history.ops {
        let phase = match op.kind {
            OpType::Invoke => Phase::Invoke,
            OpType::Ok => Phase::Ok,
            OpType::Fail => Phase::Fail,
            OpType::Info => Phase::Info,
        };
        let steps: anyhow::Result<Vec<Step>> =
            op.value.iter().map(|mop| read_step(&history, mop, phase)).collect();
        let process = op.process.and_then(|process| u32::try_from(process).ok());
        events.push(Event {
            index: op.index,
            time: op.time.and_then(|time| u64::try_from(time).ok()).unwrap_or(0),
            process: process.with_context(|| format!("operation {} has no client", op.index))?,
            phase,
            op: Op::Txn(steps.with_context(|| format!("operation {} is read", op.index))?),
            stamp: None,
            error: None,
        });
    }
    Ok(events)
}

fn read_step(history: &History, mop: &Mop, phase: Phase) -> anyhow::Result<Step> {
    let number = |id: u32| match history.show(id) {
        Scalar::Int(number) => {
            u64::try_from(*number).with_context(|| format!("{number} is below 0"))
        }
        Scalar::Str(word) => bail!("{word:?} is no number"),
    };
    let key = number(mop.key())?;
    Ok(match mop {
        Mop::Append { value, .. } => Step::Append { key, value: number(*value)? },
        Mop::Read { value: ReadValue::List(list), .. } => {
            let list: anyhow::Result<Vec<u64>> = list.iter().map(|id| number(*id)).collect();
            Step::Read { key, list: Some(list?) }
        }
        // To Jepsen nothing read is the empty list in an answer, and not yet known before.
        Mop::Read { value: ReadValue::Nil, .. } => {
            Step::Read { key, list: (phase == Phase::Ok).then(Vec::new) }
        }
        Mop::Read { value: ReadValue::Scalar(_), .. } | Mop::Write { .. } => {
            bail!("it is no transaction over lists")
        }
    })
}
