//! The arena: one shared block, and the operations that workers do on it.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::admission::{Ledger, Permits, Refusal, Tenants};
use crate::audit::AuditState;
use crate::cache::{CacheState, Lookup, VerifyCache, WAYS};
use crate::clock::coarse_ms;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::layout::{CLASSES, FLIGHTS, Layout, Padded};
use crate::region::Region;
use crate::slots::{Owner, Slots};
use crate::tag::{Tag, TagBuilder, name_hash};

/// Outcome of a request for admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Admitted, with the number of the permit (for `top_up`, the same number).
    Granted(u64),
    /// Not admitted.
    Refused(Refusal),
}

/// A process's view of the shared block. Forked children use the same object; each enters its slot.
pub struct Arena {
    region: Region,
    layout: Layout,
    config: Config,
    key: [u8; 32],
    /// This process's `Owner`, packed.
    owner: AtomicU64,
    permits: Permits,
}

impl Arena {
    /// Makes a new arena. Raises `Input` for a dimension out of range, `Arena` if the system refuses.
    pub fn create(config: Config) -> Result<Self> {
        config.check()?;
        let layout = Layout::new(&config);
        let region = Region::create(layout.length)?;
        region.one::<AuditState>(layout.audit_at).initialize()?;
        layout.write_header(&region)?;
        Ok(Self::over(region, layout, config))
    }

    /// Maps an arena that another process made from the same configuration. Raises `Arena` if it is of
    /// another layout or configuration.
    pub fn attach(fd: OwnedFd, config: Config) -> Result<Self> {
        config.check()?;
        let layout = Layout::new(&config);
        let region = Region::attach(fd, layout.length)?;
        layout.check_header(&region)?;
        Ok(Self::over(region, layout, config))
    }

    fn over(region: Region, layout: Layout, config: Config) -> Self {
        let key = Layout::key(&region);
        let owner = AtomicU64::new(Owner::PARENT.pack());
        Self {
            region,
            layout,
            config,
            key,
            owner,
            permits: Permits::default(),
        }
    }

    /// What the arena was made from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of the mapping.
    pub fn size(&self) -> usize {
        self.region.length()
    }

    /// The descriptor, for a hand-over to another process.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.region.fd()
    }

    pub(crate) fn audit_state(&self) -> &AuditState {
        self.region.one(self.layout.audit_at)
    }

    // --- slots ---------------------------------------------------------------------------------

    /// Claims a slot for a child about to be forked.
    pub fn claim_slot(&self) -> Result<usize> {
        let claimed = self.slots().claim().map(|owner| owner.slot);
        claimed.ok_or_else(|| {
            Error::Arena(format!(
                "all {} worker slots are taken; reclaim those of dead workers",
                self.config.slots
            ))
        })
    }

    /// Makes this process the owner of a claimed slot, without its parent's permits.
    pub fn enter_slot(&self, slot: usize) -> Result<()> {
        let Some(owner) = self.slots().enter(slot) else {
            return Err(Error::Arena(format!(
                "slot {slot} is not claimed; claim it before the fork"
            )));
        };
        self.permits.forget();
        self.owner.store(owner.pack(), Ordering::Relaxed);
        Ok(())
    }

    /// Frees the slot of a process that was reaped. Returns how many permits it held.
    pub fn reclaim_slot(&self, slot: usize) -> Result<u64> {
        if slot == 0 || slot >= self.layout.slots {
            return Err(Error::input(format!("slot must be 1 to {}", self.config.slots)));
        }
        let held = (0..CLASSES).map(|class| self.ledger(class).reclaim(slot)).sum();
        self.tenants().reclaim(slot);
        self.audit_state().wake_syncers();
        // Last: from here on a new worker may claim the slot.
        if !self.slots().free(slot) {
            return Err(Error::Arena(format!("slot {slot} is not in use")));
        }
        Ok(held)
    }

    fn owner(&self) -> Owner {
        Owner::unpack(self.owner.load(Ordering::Relaxed))
    }

    pub(crate) fn slots(&self) -> Slots<'_, AtomicU64> {
        Slots::new(self.region.slice(self.layout.slots_at, self.layout.slots))
    }

    // --- generations ---------------------------------------------------------------------------

    /// Present value of a change counter.
    #[inline]
    pub fn generation(&self, index: usize) -> Result<u64> {
        Ok(self.generation_word(index)?.load(Ordering::Acquire))
    }

    /// Adds one and returns the new value.
    pub fn bump(&self, index: usize) -> Result<u64> {
        Ok(self.generation_word(index)?.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn generation_word(&self, index: usize) -> Result<&AtomicU64> {
        let count = self.config.generations.len();
        check_index("generation", index, count)?;
        Ok(&self.region.slice::<Padded>(self.layout.generations_at, count)[index].word)
    }

    // --- admission -----------------------------------------------------------------------------

    /// Asks for a permit. Class 0 is sign, 1 verify; cost in units, at least 1.
    pub fn admit(&self, class: usize, tenant: &[u8], cost: u64) -> Result<Admission> {
        check_index("op_class", class, CLASSES)?;
        let granted = self
            .ledger(class)
            .admit(name_hash(&self.key, tenant), cost, coarse_ms());
        Ok(match granted {
            Ok(grant) => Admission::Granted(self.permits.issue(self.owner(), grant)),
            Err(refusal) => Admission::Refused(refusal),
        })
    }

    /// Adds cost to a permit; refused, the permit stays as it is.
    pub fn top_up(&self, permit: u64, cost: u64) -> Result<Admission> {
        let owner = self.owner();
        let grant = self.permits.get(owner, permit).ok_or_else(unknown_permit)?;
        let ledger = self.ledger(grant.class);
        match ledger.top_up(grant, cost, coarse_ms()) {
            Ok(larger) if self.permits.replace(owner, permit, larger) => Ok(Admission::Granted(permit)),
            Ok(_) => Err(unknown_permit()),
            Err(refusal) => Ok(Admission::Refused(refusal)),
        }
    }

    /// Gives a permit back. Raises `Arena` if this process does not hold it.
    pub fn release(&self, permit: u64) -> Result<()> {
        let grant = self
            .permits
            .withdraw(self.owner(), permit)
            .ok_or_else(unknown_permit)?;
        self.ledger(grant.class).release(grant);
        Ok(())
    }

    /// Units in flight in a class, over all workers.
    pub fn inflight(&self, class: usize) -> u64 {
        self.ledger(class).inflight()
    }

    pub(crate) fn ledger(&self, class: usize) -> Ledger<'_> {
        let slots = self.layout.slots;
        Ledger {
            class,
            rows: &self.region.slice(self.layout.pools_at, CLASSES * slots)
                [class * slots..(class + 1) * slots],
            share: &self.region.slice(self.layout.shares_at, CLASSES)[class],
            tenants: self.tenants(),
            slot: self.owner().slot,
            limit: self.config.inflight[class],
            share_min: self.config.tenant_share_min,
        }
    }

    pub(crate) fn tenants(&self) -> Tenants<'_> {
        let layout = &self.layout;
        Tenants {
            keys: self.region.slice(layout.tenant_keys_at, layout.tenants),
            demand: self.region.slice(layout.tenant_demand_at, layout.tenants),
            columns: self.region.slice(
                layout.tenant_columns_at,
                layout.tenants * CLASSES * layout.column_stride,
            ),
            stride: layout.column_stride,
            slots: layout.slots,
        }
    }

    // --- verify cache --------------------------------------------------------------------------

    /// Starts a tag of `count` parts.
    #[inline]
    pub fn tag_builder(&self, count: usize) -> TagBuilder<'_> {
        TagBuilder::new(&self.key, count)
    }

    /// Looks a verdict up and counts the look-up.
    #[inline]
    pub fn cache_get(&self, tag: &Tag) -> Lookup {
        let found = self.cache().get(tag, coarse_ms());
        self.count_lookup(found);
        found
    }

    /// As `cache_get`, but only a hit is counted: for a caller that hands anything else to one that counts.
    pub fn cache_probe(&self, tag: &Tag) -> Lookup {
        let found = self.cache().get(tag, coarse_ms());
        if let Lookup::Hit(_) = found {
            self.count_lookup(found);
        }
        found
    }

    /// Stores a verdict; `negative` (an invalid signature) chooses the area.
    pub fn cache_put(&self, tag: &Tag, verdict: u8, negative: bool) {
        self.cache().put(tag, verdict, negative, coarse_ms());
    }

    /// As `cache_get`, but on a miss waits at most 2 ms for another's computation of the same tag.
    pub fn cache_claim(&self, tag: &Tag) -> Lookup {
        let found = self.cache().claim(tag, coarse_ms());
        self.count_lookup(found);
        found
    }

    /// Ends a claim without a verdict.
    pub fn cache_abandon(&self, tag: &Tag) {
        self.cache().land(tag);
    }

    /// Drops expired entries, or all. Returns how many.
    pub fn cache_sweep(&self, all_entries: bool) -> u64 {
        self.cache().sweep(all_entries, coarse_ms())
    }

    pub(crate) fn cache_state(&self) -> CacheState {
        self.cache().state(coarse_ms())
    }

    pub(crate) fn cache_capacity(&self) -> u64 {
        (self.layout.cache_sets.iter().sum::<usize>() * WAYS) as u64
    }

    #[inline]
    fn count_lookup(&self, found: Lookup) {
        let index = match found {
            Lookup::Hit(_) => 0,
            Lookup::Miss => 1,
            Lookup::Stale => 2,
        };
        self.own_counter(index).fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn cache(&self) -> VerifyCache<'_> {
        let [main, negative] = self.layout.cache_sets;
        let [main_at, negative_at] = self.layout.cache_at;
        VerifyCache {
            main: self.region.slice(main_at, main * WAYS),
            negative: self.region.slice(negative_at, negative * WAYS),
            flights: self.region.slice(self.layout.flights_at, FLIGHTS),
            slots: self.slots(),
            owner: self.owner(),
            ttl_ms: self.config.cache_ttl_ms,
        }
    }

    #[inline]
    pub(crate) fn own_counter(&self, index: usize) -> &AtomicU64 {
        let stride = self.layout.counter_stride;
        &self
            .region
            .slice(self.layout.counters_at, self.layout.slots * stride)[self.owner().slot * stride + index]
    }

    pub(crate) fn parts(&self) -> (&Region, &Layout) {
        (&self.region, &self.layout)
    }

    pub(crate) fn identity(&self) -> (&[u8; 32], Owner, Slots<'_, AtomicU64>) {
        (&self.key, self.owner(), self.slots())
    }
}

pub(crate) fn check_index(what: &str, index: usize, count: usize) -> Result<()> {
    if index < count {
        return Ok(());
    }
    Err(Error::input(format!(
        "{what} must be 0 to {}, is {index}",
        count - 1
    )))
}

fn unknown_permit() -> Error {
    Error::Arena("this process does not hold that permit: released twice, or taken before the fork".into())
}
