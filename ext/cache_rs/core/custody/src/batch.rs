//! Many signatures at once, spread over the cores; in the background if others have the first call on them.

use std::num::NonZeroUsize;
use std::thread;

use crate::ed25519;
use crate::{PrivateKey, PublicKey, Result, SignOptions, Verdict, VerifyOptions};

/// Ed25519 signatures per batch equation.
const CHUNK: usize = 64;
/// Fewer than this in one equation cost more than one by one.
const SMALLEST_CHUNK: usize = 4;
/// Items that make a thread worth its start.
const ITEMS_PER_THREAD: usize = 8;
/// Of a background thread: beside one at 0 it gets 3% of a core (sched(7); weights 36 and 1024).
const BACKGROUND_NICE: i32 = 15;

/// What a batch may take from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// As the calling thread.
    Normal,
    /// Threads of its own at a low scheduling priority: all of what is idle, little of what is not.
    ///
    /// For capacity that is lent: who it belongs to takes it back in the midst of a batch.
    Background,
}

/// One signature to verify: key, message, signature, context.
#[derive(Debug, Clone, Copy)]
pub struct BatchItem<'a> {
    /// The key.
    pub key: &'a PublicKey,
    /// The message.
    pub message: &'a [u8],
    /// The signature (ECDSA: DER).
    pub signature: &'a [u8],
    /// The context; empty where the algorithm takes none.
    pub context: &'a [u8],
}

/// Signs many messages with one key, in order.
///
/// # Errors
/// As `PrivateKey::sign`: the first error in the order of the messages.
pub fn sign_batch(
    key: &PrivateKey,
    messages: &[&[u8]],
    context: &[u8],
    priority: Priority,
) -> Result<Vec<Vec<u8>>> {
    let options = SignOptions {
        context,
        ..SignOptions::default()
    };
    spread(messages, priority, |part| {
        part.iter()
            .map(|message| key.sign(message, options))
            .collect::<Vec<_>>()
    })
    .into_iter()
    .collect()
}

/// Verifies many signatures, in order. The verdicts are those of `PublicKey::verify`.
///
/// # Errors
/// `Input`, as `PublicKey::verify`: the first in the order of the items.
pub fn verify_batch(items: &[BatchItem<'_>], priority: Priority) -> Result<Vec<Verdict>> {
    spread(items, priority, verify_part).into_iter().collect()
}

fn verify_part(items: &[BatchItem<'_>]) -> Vec<Result<Verdict>> {
    let (together, alone): (Vec<usize>, Vec<usize>) = (0..items.len()).partition(|&index| {
        let item = &items[index];
        item.key.as_ed25519().is_some()
            && item.context.is_empty()
            && ed25519::well_formed(item.signature).is_some()
    });
    let mut verdicts: Vec<Option<Result<Verdict>>> = (0..items.len()).map(|_| None).collect();
    let one = |index: usize| {
        let item = &items[index];
        let options = VerifyOptions {
            context: item.context,
            ..VerifyOptions::default()
        };
        item.key.verify(item.message, item.signature, options)
    };
    for index in alone {
        verdicts[index] = Some(one(index));
    }
    for chunk in together.chunks(CHUNK) {
        let accepted = chunk.len() >= SMALLEST_CHUNK
            && ed25519::verify_together(chunk.iter().filter_map(|&index| {
                let item = &items[index];
                Some((item.key.as_ed25519()?, item.message, item.signature))
            }));
        for &index in chunk {
            verdicts[index] = Some(if accepted {
                Ok(Verdict::valid())
            } else {
                one(index)
            });
        }
    }
    verdicts
        .into_iter()
        .map(|verdict| verdict.expect("each index is in one of the two lists"))
        .collect()
}

/// Runs `work` on parts of `items`, one per core, and joins the results in order.
fn spread<T: Sync, R: Send>(items: &[T], priority: Priority, work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.min(items.len() / ITEMS_PER_THREAD).max(1);
    // A thread that has lowered its priority may not raise it again: the calling one only waits.
    let background = priority == Priority::Background && items.len() >= ITEMS_PER_THREAD;
    if threads == 1 && !background {
        return work(items);
    }
    let part = items.len().div_ceil(threads);
    thread::scope(|scope| {
        let mut parts = items.chunks(part);
        let own = if background { None } else { parts.next() };
        let work = &work;
        let spawned: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    if background {
                        step_back();
                    }
                    work(part)
                })
            })
            .collect();
        let mut results = own.map_or_else(Vec::new, work);
        for thread in spawned {
            results.extend(
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        results
    })
}

/// Lowers the scheduling priority of the calling thread for good.
fn step_back() {
    // On Linux PRIO_PROCESS with 0 is the calling thread alone. Lowering needs no privilege; without it (a
    // sandbox may forbid the call) the work is done all the same.
    let _ = rustix::process::setpriority_process(None, BACKGROUND_NICE);
}
