//! Never-used instances, made ahead of time.
//!
//! A fresh instance costs some microseconds. A *spare* is one that was made earlier and has seen
//! nothing: taking it is as safe and costs a lock. A thread of its own makes new ones and wipes used
//! ones, off the way of a request; when there are none left, a request makes its own. Waking a thread costs
//! as much as an instance, so that it is woken for many at once, when the stock has run low.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use super::{LoadError, maker::Instance, member::Member};

/// The spares of one policy.
pub(super) struct Stock {
    shelf: Mutex<Shelf>,
    capacity: usize,
    /// Whether the keeper was already asked to come by.
    asked: AtomicBool,
}

/// The spares, and what was used and waits to be wiped: the two never mix. Closed for good when the
/// policy is replaced.
struct Shelf {
    spares: Vec<Instance>,
    used: Vec<Instance>,
    closed: bool,
}

impl Shelf {
    fn room(&self, capacity: usize) -> usize {
        match self.closed {
            true => 0,
            false => capacity.saturating_sub(self.spares.len()),
        }
    }
}

impl Stock {
    pub(super) fn new(capacity: usize) -> Self {
        let shelf = Shelf {
            spares: Vec::new(),
            used: Vec::new(),
            closed: false,
        };
        Self {
            shelf: Mutex::new(shelf),
            capacity,
            asked: AtomicBool::new(false),
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shelf().spares.len()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A spare, and whether the stock has run low.
    fn take(&self) -> (Option<Instance>, bool) {
        let mut shelf = self.shelf();
        let spare = shelf.spares.pop();
        (
            spare,
            !shelf.closed && shelf.spares.len() <= self.capacity / LOW,
        )
    }

    /// How many spares there is place for.
    fn room(&self) -> usize {
        self.shelf().room(self.capacity)
    }

    /// Puts spares on the shelf; gives those back for which there is no place.
    fn put(&self, mut spares: Vec<Instance>) -> Vec<Instance> {
        let mut shelf = self.shelf();
        let room = shelf.room(self.capacity);
        let rest = spares.split_off(room.min(spares.len()));
        shelf.spares.append(&mut spares);
        rest
    }

    /// Lays a used instance aside; gives it back when there is no place for it.
    fn lay_aside(&self, used: Instance) -> Option<Instance> {
        let mut shelf = self.shelf();
        if shelf.closed || shelf.used.len() >= self.capacity {
            return Some(used);
        }
        shelf.used.push(used);
        None
    }

    fn take_used(&self) -> Vec<Instance> {
        mem::take(&mut self.shelf().used)
    }

    fn close(&self) -> Vec<Instance> {
        let mut shelf = self.shelf();
        shelf.closed = true;
        let mut all = mem::take(&mut shelf.spares);
        all.append(&mut shelf.used);
        all
    }
}

/// The thread that fills stocks, and the bound of all of them together.
#[derive(Debug)]
pub(super) struct Keeper {
    calls: mpsc::Sender<Weak<Member>>,
    /// Instances that lie on shelves, and how many may: they must not starve those in use.
    shelved: AtomicUsize,
    most: usize,
}

impl Keeper {
    /// Starts the thread. It ends when the keeper is dropped.
    pub(super) fn start(most: usize) -> Result<Self, LoadError> {
        let (calls, jobs) = mpsc::channel::<Weak<Member>>();
        let work = move || {
            for job in jobs {
                if let Some(member) = job.upgrade() {
                    member.keeper().fill(&member);
                }
            }
        };
        let thread = thread::Builder::new().name("pinfold-spares".into());
        thread
            .spawn(work)
            .map_err(|e| LoadError::Engine(e.to_string()))?;
        Ok(Self {
            calls,
            shelved: AtomicUsize::new(0),
            most,
        })
    }

    /// A spare of this policy. Calls the thread when the stock runs low, once until it has come: the
    /// queue holds each policy at most once.
    pub(super) fn take(&self, member: &Arc<Member>) -> Option<Instance> {
        let stock = member.stock();
        let (spare, low) = stock.take();
        self.forget(usize::from(spare.is_some()));
        if low && stock.capacity > 0 && !stock.asked.swap(true, Ordering::AcqRel) {
            // The thread is gone only when the process ends: then there are no spares.
            let _ = self.calls.send(Arc::downgrade(member));
        }
        spare
    }

    /// Takes an instance that has judged, to be wiped later: that takes a system call, and the
    /// answer is there already.
    pub(super) fn give_back(&self, member: &Member, used: Instance) {
        if self.count_one() && member.stock().lay_aside(used).is_some() {
            self.forget(1);
        }
    }

    /// Wipes what was used, and says whether there was any.
    pub(super) fn wipe(&self, stock: &Stock) -> bool {
        let used = stock.take_used().len();
        self.forget(used);
        used > 0
    }

    /// Fills the stock of a policy, as far as all policies together may have spares.
    pub(super) fn fill(&self, member: &Member) {
        let stock = member.stock();
        // Before the work: who takes the last one while it is done asks again.
        stock.asked.store(false, Ordering::Release);
        self.wipe(stock);
        loop {
            let wanted = stock.room().min(BATCH);
            let granted = (0..wanted).take_while(|_| self.count_one()).count();
            let spares: Vec<_> = (0..granted)
                .map_while(|_| member.maker().make().ok())
                .collect();
            let made = spares.len();
            let unplaced = stock.put(spares).len();
            self.forget(granted - made + unplaced);
            // Nothing wanted, no place among those of other policies, no instance, or no room any more.
            if made - unplaced < BATCH {
                return;
            }
        }
    }

    /// Drops what lies on the shelf of a policy that was replaced; it stays empty.
    pub(super) fn close(&self, stock: &Stock) {
        self.forget(stock.close().len());
    }

    fn count_one(&self) -> bool {
        let more = |n: usize| (n < self.most).then_some(n + 1);
        self.shelved
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
    }

    fn forget(&self, n: usize) {
        if n > 0 {
            self.shelved.fetch_sub(n, Ordering::AcqRel);
        }
    }
}

/// Spares that are made before they are put on the shelf together.
const BATCH: usize = 4;
/// The stock is low when no more than one in so many is left.
const LOW: usize = 4;
