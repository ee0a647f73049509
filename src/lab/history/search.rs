//! The search for an order: Wing and Gong's, with Lowe's memory.
//!
//! The *board* has the invocations and returns of all answered operations that are not yet placed, in
//! the order of their times. Whatever is invoked before the first return may come next: it is lifted
//! from the board, with its return, and the state moves on. At the first return the candidates are
//! used up. Then those without a known outcome are tried, which never return and so stand on a board
//! of their own. If none fits the last placed one is put back, and the next in its place is tried.
//!
//! Four rules make it short. None of them loses an order, if there is one:
//!
//! * **Seen is seen.** The same operations placed and the same state reached in another way lead to
//!   the same end.
//! * **What changes nothing is free.** A read that fits can be moved to here from anywhere later in an
//!   order. So it is looked for first, and nothing else is tried in its place. It has to be one that
//!   changes nothing *anywhere* ([`Model::is_read`]): what only happens to change nothing here may be
//!   needed later, where it does.
//! * **An unknown operation has to be noticed.** If it leaves the state as it is, or the next one has the
//!   same answer and effect without it, then an order without it, at least here, does as well.
//! * **Alike ones go in order.** Of interchangeable unknown operations the one that was invoked first
//!   is used first: it can be wherever another one can.
//!
//! The stack is a vector, so a long history needs no deep recursion.

use std::collections::{HashMap, HashSet};

use super::{Checked, Exhausted, Failure, Model, Operation, Violation};

/// Says a key's name, where it is needed.
pub(super) type Name<'a> = Option<&'a dyn Fn() -> String>;

/// Searches for an order of `operations`.
pub(super) fn run<M: Model>(
    model: &M,
    operations: &[&Operation<M::Op, M::Answer>],
    steps_max: u64,
    name: Name<'_>,
) -> Result<Checked, Failure<M::Op, M::Answer>> {
    let mut search = Search::new(model, operations, steps_max);
    match search.run() {
        End::Explained => Ok(Checked {
            keys: 1,
            operations: operations.len(),
            unknown: operations.len() - search.answered,
            beyond: 0,
            steps: search.steps,
        }),
        End::Stuck => Err(Failure::Violation(Box::new(search.best.report(&search, name.map(|name| name()))))),
        End::OutOfSteps => Err(Failure::Exhausted(Exhausted {
            key: name.map(|name| name()),
            steps: search.steps,
            placed: search.best.answered.max(search.answered - search.to_place),
            of: search.answered,
        })),
    }
}

enum End {
    Explained,
    Stuck,
    OutOfSteps,
}

/// What comes of trying one operation.
enum Tried {
    Placed,
    Unfit,
    /// It would fit, but nothing can come of it, nor of anything in its place.
    Hopeless,
}

struct Search<'a, M: Model> {
    model: &'a M,
    /// First those that were answered, then the others; each by their invocations.
    operations: Vec<&'a Operation<M::Op, M::Answer>>,
    /// How many were answered.
    answered: usize,
    /// How many of these are to be placed.
    to_place: usize,
    board: Board,
    /// The answered ones that change nothing.
    reads: HashSet<usize>,
    /// The place of an operation's alike one that is used before it.
    elder: HashMap<usize, usize>,
    state: M::State,
    placed: Placed,
    stack: Vec<Frame<M::State>>,
    /// What is tried next.
    cursor: Cursor,
    seen: HashSet<(Mark, M::State)>,
    best: Best<M::State>,
    steps: u64,
    steps_max: u64,
}

/// One operation that is placed, and how to take it back.
struct Frame<S> {
    operation: usize,
    /// The state before it.
    before: S,
    /// Where to go on after it was taken back; `None` if nothing else needs to be tried in its place.
    resume: Option<Cursor>,
}

/// What is free is looked for first: another one in its place may keep it from fitting later, and all that
/// comes of that would be in vain.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Free,
    Any,
}

#[derive(Clone, Copy)]
enum Cursor {
    /// A link of the events' ring.
    Event(usize, Pass),
    /// A link of the unknown ones' ring, and when the first answered one returns.
    Unknown(usize, u64),
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, operations: &[&'a Operation<M::Op, M::Answer>], steps_max: u64) -> Self {
        let mut operations = operations.to_vec();
        operations.sort_by_key(|one| {
            (one.returned.is_none(), one.invoked_at, one.returned.as_ref().map(|returned| returned.at))
        });
        let answered = operations.iter().filter(|one| one.returned.is_some()).count();
        let board = Board::of(&operations, answered);
        let is_read =
            |one: &Operation<_, _>| one.answer().is_some_and(|answer| model.is_read(&one.op, answer));
        let reads = operations.iter().enumerate().filter(|(_, one)| is_read(one)).map(|(place, _)| place);
        let state = model.begin();
        Search {
            model,
            answered,
            to_place: answered,
            reads: reads.collect(),
            elder: elders(model, &operations),
            cursor: board.first(Pass::Free),
            best: Best { answered: 0, order: Vec::new(), shared: 0, state: state.clone() },
            board,
            placed: Placed::of(operations.len(), answered),
            state,
            operations,
            stack: Vec::new(),
            seen: HashSet::new(),
            steps: 0,
            steps_max,
        }
    }

    fn run(&mut self) -> End {
        while self.to_place > 0 {
            let Some((operation, next)) = self.candidate() else {
                self.best.keep(&self.stack, &self.state, self.answered - self.to_place);
                if !self.step_back() {
                    return End::Stuck;
                }
                continue;
            };
            match self.attempt(operation, next) {
                None => return End::OutOfSteps,
                Some(Tried::Placed) => self.cursor = self.board.first(Pass::Free),
                Some(Tried::Unfit) => self.cursor = next,
                Some(Tried::Hopeless) => {
                    if !self.step_back() {
                        return End::Stuck;
                    }
                }
            }
        }
        End::Explained
    }

    /// What may come next, from the cursor on, and where the cursor goes on then.
    fn candidate(&mut self) -> Option<(usize, Cursor)> {
        loop {
            match self.cursor {
                Cursor::Event(link, pass) => match self.board.event(link)? {
                    Event { operation, returns_at: None } => {
                        return Some((operation, Cursor::Event(self.board.events.next(link), pass)));
                    }
                    Event { .. } if pass == Pass::Free => self.cursor = self.board.first(Pass::Any),
                    Event { returns_at: Some(at), .. } => {
                        self.cursor = Cursor::Unknown(self.board.unknown.next(0), at);
                    }
                },
                Cursor::Unknown(0, _) => return None,
                Cursor::Unknown(link, until) => {
                    let operation = self.answered + link - 1;
                    if self.operations.get(operation)?.invoked_at > until {
                        return None;
                    }
                    let next = Cursor::Unknown(self.board.unknown.next(link), until);
                    if self.elder.get(&operation).is_none_or(|elder| self.placed.has(*elder)) {
                        return Some((operation, next));
                    }
                    self.cursor = next;
                }
            }
        }
    }

    /// Places an operation if it fits and may lead to something new. `None`: no steps are left.
    fn attempt(&mut self, operation: usize, resume: Cursor) -> Option<Tried> {
        let Some(&tried) = self.operations.get(operation) else { return Some(Tried::Unfit) };
        let is_unknown = operation >= self.answered;
        let is_free = matches!(resume, Cursor::Event(_, Pass::Free));
        if is_free != self.reads.contains(&operation) {
            return Some(Tried::Unfit);
        }
        let Some(after) = self.step(&self.state.clone(), tried)? else { return Some(Tried::Unfit) };
        if is_unknown && after == self.state {
            return Some(Tried::Unfit);
        }
        // The last one is unknown, and this one does not notice it.
        if let Some(last) = self.stack.last().filter(|last| last.operation >= self.answered) {
            let before = last.before.clone();
            if self.step(&before, tried)?.as_ref() == Some(&after) {
                return Some(Tried::Unfit);
            }
        }
        self.placed.set(operation, true);
        if !self.seen.insert((self.placed.mark(), after.clone())) {
            self.placed.set(operation, false);
            return Some(if is_free { Tried::Hopeless } else { Tried::Unfit });
        }
        self.board.lift(operation);
        self.to_place -= usize::from(!is_unknown);
        let before = std::mem::replace(&mut self.state, after);
        self.stack.push(Frame { operation, before, resume: (!is_free).then_some(resume) });
        Some(Tried::Placed)
    }

    /// The state after an operation, if it fits; `None` outside if no steps are left.
    fn step(
        &mut self,
        state: &M::State,
        operation: &Operation<M::Op, M::Answer>,
    ) -> Option<Option<M::State>> {
        if self.steps == self.steps_max {
            return None;
        }
        self.steps += 1;
        Some(self.model.step(state, &operation.op, operation.answer()))
    }

    /// Takes back the last one that something else can be tried for. Whether there was one.
    fn step_back(&mut self) -> bool {
        while let Some(Frame { operation, before, resume }) = self.stack.pop() {
            self.best.shared = self.best.shared.min(self.stack.len());
            self.state = before;
            self.placed.set(operation, false);
            self.board.unlift(operation);
            self.to_place += usize::from(operation < self.answered);
            if let Some(resume) = resume {
                self.cursor = resume;
                return true;
            }
        }
        false
    }
}

/// For each unknown operation the last one before it that it is alike.
fn elders<M: Model>(model: &M, operations: &[&Operation<M::Op, M::Answer>]) -> HashMap<usize, usize> {
    let mut equal = HashMap::new();
    let mut alike = HashMap::new();
    let mut elders = HashMap::new();
    for (place, operation) in operations.iter().enumerate().filter(|(_, one)| one.returned.is_none()) {
        let elder = match model.likeness(&operation.op) {
            Some(likeness) => alike.insert(likeness, place),
            None => equal.insert(&operation.op, place),
        };
        elders.extend(elder.map(|elder| (place, elder)));
    }
    elders
}

/// The longest order that was found.
struct Best<S> {
    /// How many answered ones are in it.
    answered: usize,
    order: Vec<usize>,
    /// So many of the order are at the bottom of the stack too, and need not be copied again.
    shared: usize,
    state: S,
}

impl<S: Clone> Best<S> {
    fn keep(&mut self, stack: &[Frame<S>], state: &S, answered: usize) {
        if answered > self.answered {
            self.order.truncate(self.shared);
            self.order.extend(stack.iter().skip(self.shared).map(|frame| frame.operation));
            (self.answered, self.shared, self.state) = (answered, stack.len(), state.clone());
        }
    }

    fn report<M: Model<State = S>>(
        &self,
        search: &Search<'_, M>,
        key: Option<String>,
    ) -> Violation<M::Op, M::Answer> {
        let all = &search.operations;
        let placed: Vec<_> =
            self.order.iter().filter_map(|one| all.get(*one)).map(|one| (*one).clone()).collect();
        let in_order: HashSet<usize> = self.order.iter().copied().collect();
        let mut rest: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(place, _)| !in_order.contains(place))
            .filter_map(|(_, one)| Some((one.returned.as_ref()?.at, *one)))
            .collect();
        rest.sort_by_key(|(returned_at, _)| *returned_at);
        let until = rest.first().map_or(0, |(returned_at, _)| *returned_at);
        let (stuck, later): (Vec<_>, Vec<_>) = rest.iter().partition(|(_, one)| one.invoked_at <= until);
        Violation {
            key,
            state: search.model.describe(&self.state, &placed),
            placed,
            stuck: stuck.into_iter().map(|(_, one)| one.clone()).collect(),
            later: later.len(),
        }
    }
}

/// What is not yet placed.
struct Board {
    /// The events behind the links of the first ring, from 1 on.
    table: Vec<Event>,
    events: Ring,
    unknown: Ring,
    /// The links of an answered operation's invocation and return.
    links: Vec<(usize, usize)>,
}

#[derive(Clone, Copy)]
struct Event {
    operation: usize,
    /// `None`: it is the invocation.
    returns_at: Option<u64>,
}

impl Board {
    fn of<Op, Answer>(operations: &[&Operation<Op, Answer>], answered: usize) -> Board {
        let mut events = Vec::with_capacity(2 * answered);
        for (operation, one) in operations.iter().enumerate() {
            if let Some(returned) = &one.returned {
                // At the same instant, invocations come first: then neither is before the other.
                let returned_at = returned.at.max(one.invoked_at);
                events.push((one.invoked_at, false, operation));
                events.push((returned_at, true, operation));
            }
        }
        events.sort_unstable();
        let mut links = vec![(0, 0); answered];
        for (at, (_, returns, operation)) in events.iter().enumerate() {
            if let Some(pair) = links.get_mut(*operation) {
                *(if *returns { &mut pair.1 } else { &mut pair.0 }) = at + 1;
            }
        }
        let table = events
            .into_iter()
            .map(|(at, returns, operation)| Event { operation, returns_at: returns.then_some(at) })
            .collect();
        let unknown = Ring::of(operations.len() - answered);
        Board { table, events: Ring::of(2 * answered), unknown, links }
    }

    fn first(&self, pass: Pass) -> Cursor {
        Cursor::Event(self.events.next(0), pass)
    }

    fn event(&self, link: usize) -> Option<Event> {
        self.table.get(link.checked_sub(1)?).copied()
    }

    fn lift(&mut self, operation: usize) {
        match self.links.get(operation) {
            Some(&(invocation, end)) => {
                self.events.lift(invocation);
                self.events.lift(end);
            }
            None => self.unknown.lift(operation - self.links.len() + 1),
        }
    }

    /// Undoes the last `lift`: in the opposite order, as rings want it.
    fn unlift(&mut self, operation: usize) {
        match self.links.get(operation) {
            Some(&(invocation, end)) => {
                self.events.unlift(end);
                self.events.unlift(invocation);
            }
            None => self.unknown.unlift(operation - self.links.len() + 1),
        }
    }
}

/// Links in a ring, from 1 on; 0 is where it begins and ends. What was lifted last can be put back.
struct Ring {
    next: Vec<usize>,
    before: Vec<usize>,
}

impl Ring {
    fn of(links: usize) -> Ring {
        let next = (1..=links).chain([0]).collect();
        let before = [links].into_iter().chain(0..links).collect();
        Ring { next, before }
    }

    fn next(&self, link: usize) -> usize {
        self.next.get(link).copied().unwrap_or(0)
    }

    fn lift(&mut self, link: usize) {
        let (before, next) = self.around(link);
        self.join(before, next, next, before);
    }

    fn unlift(&mut self, link: usize) {
        let (before, next) = self.around(link);
        self.join(before, link, next, link);
    }

    fn around(&self, link: usize) -> (usize, usize) {
        (self.before.get(link).copied().unwrap_or(0), self.next(link))
    }

    fn join(&mut self, left: usize, its_next: usize, right: usize, its_before: usize) {
        if let (Some(next), Some(before)) = (self.next.get_mut(left), self.before.get_mut(right)) {
            (*next, *before) = (its_next, its_before);
        }
    }
}

/// Which operations are placed, as bits: answered and unknown ones apart, for the first fill up from the
/// left, and of the second there are few.
struct Placed {
    answered: Vec<u64>,
    unknown: Vec<u64>,
    split: usize,
    /// So many words of the answered ones are full.
    full: usize,
}

/// [`Placed`], to be remembered: without the words that are full, or empty behind the last that is not. What
/// it takes does not grow with the history.
#[derive(PartialEq, Eq, Hash)]
struct Mark {
    full: usize,
    answered: Box<[u64]>,
    unknown: Box<[u64]>,
}

impl Placed {
    fn of(operations: usize, split: usize) -> Placed {
        let words = |bits: usize| vec![0; bits.div_ceil(64)];
        Placed { answered: words(split), unknown: words(operations - split), split, full: 0 }
    }

    fn has(&self, operation: usize) -> bool {
        let (words, bit) = match operation.checked_sub(self.split) {
            None => (&self.answered, operation),
            Some(bit) => (&self.unknown, bit),
        };
        words.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    fn set(&mut self, operation: usize, is_placed: bool) {
        let (words, bit) = match operation.checked_sub(self.split) {
            None => (&mut self.answered, operation),
            Some(bit) => (&mut self.unknown, bit),
        };
        if let Some(word) = words.get_mut(bit / 64) {
            *word = *word & !(1 << (bit % 64)) | u64::from(is_placed) << (bit % 64);
        }
        if operation < self.split {
            self.full = self.full.min(bit / 64);
            while self.answered.get(self.full) == Some(&u64::MAX) {
                self.full += 1;
            }
        }
    }

    fn mark(&self) -> Mark {
        let trimmed = |words: &[u64]| -> Box<[u64]> {
            let used = words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1);
            words.iter().take(used).copied().collect()
        };
        Mark {
            full: self.full,
            answered: trimmed(self.answered.get(self.full..).unwrap_or_default()),
            unknown: trimmed(&self.unknown),
        }
    }
}
