//! Many signatures at once, spread over the cores.

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
pub fn sign_batch(key: &PrivateKey, messages: &[&[u8]], context: &[u8]) -> Result<Vec<Vec<u8>>> {
    let options = SignOptions {
        context,
        ..SignOptions::default()
    };
    spread(messages, |part| {
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
pub fn verify_batch(items: &[BatchItem<'_>]) -> Result<Vec<Verdict>> {
    spread(items, verify_part).into_iter().collect()
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
fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = cores.min(items.len() / ITEMS_PER_THREAD).max(1);
    if threads == 1 {
        return work(items);
    }
    let part = items.len().div_ceil(threads);
    thread::scope(|scope| {
        let mut parts = items.chunks(part);
        let own = parts.next().unwrap_or_default();
        let spawned: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
        let mut results = work(own);
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
