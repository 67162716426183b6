//! When may a mark be buried? Here with time, one second at a time.
//!
//! A writer asks for a mark, and for another when the grace of the first has run out, until it sends its
//! commit. Requests and answers take any time. An observer looks, sees a mark, and buries it when it has
//! seen it for a lifetime. A commit that was sent must not find its mark gone while it may land.

use std::time::Duration;

use stateright::{Checker, Model, Property};

use crate::protocol::Lifetimes;

type Seconds = u8;

/// The name of a mark.
type Name = u8;

const LIFETIMES: Lifetimes =
    Lifetimes { late: Duration::from_secs(2), grace: Duration::from_secs(2) };

/// When all has ended.
const END: Seconds = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Writer {
    Idle,
    /// It has asked for a mark, and the store has set it or not.
    Asking {
        asked: Seconds,
        set: bool,
    },
    Marked {
        asked: Seconds,
        answered: Seconds,
    },
    /// Its commit may land at any moment.
    Sent {
        at: Seconds,
    },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Observer {
    Idle,
    Looking {
        asked: Seconds,
        found: Option<Name>,
    },
    Seen {
        asked: Seconds,
        answered: Seconds,
        name: Name,
    },
    /// The request is on its way.
    Burying {
        name: Name,
    },
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Moment {
    now: Seconds,
    writer: Writer,
    /// The mark that the writer asked for last.
    name: Name,
    /// The mark that is in the record.
    mark: Option<Name>,
    observer: Observer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Pass,
    Ask,
    Set,
    Answer,
    Send,
    Look,
    Find,
    See,
    Bury,
    Buried,
}

/// From when on somebody counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Asked,
    Answered,
}

#[derive(Clone, Copy, Debug)]
struct Lapse {
    lifetimes: Lifetimes,
    writer_counts: Since,
    observer_counts: Since,
    /// A further mark has the name of the one before.
    names_recur: bool,
    /// How long a commit takes at the most.
    lands: Duration,
}

const LIBRARY: Lapse = Lapse {
    lifetimes: LIFETIMES,
    writer_counts: Since::Asked,
    observer_counts: Since::Answered,
    names_recur: false,
    lands: LIFETIMES.late,
};

impl Lapse {
    fn passed(since: Since, asked: Seconds, answered: Seconds, now: Seconds) -> Duration {
        let from = if since == Since::Asked { asked } else { answered };
        Duration::from_secs((now - from).into())
    }
}

impl Model for Lapse {
    type State = Moment;
    type Action = Action;

    fn init_states(&self) -> Vec<Moment> {
        let (writer, observer) = (Writer::Idle, Observer::Idle);
        vec![Moment { now: 0, writer, name: 0, mark: None, observer }]
    }

    fn actions(&self, moment: &Moment, actions: &mut Vec<Action>) {
        let Self { lifetimes, writer_counts, observer_counts, .. } = *self;
        let now = moment.now;
        if now < END {
            actions.push(Action::Pass);
        }
        match moment.writer {
            Writer::Idle => actions.push(Action::Ask),
            Writer::Asking { set: false, .. } => actions.push(Action::Set),
            Writer::Asking { set: true, .. } => actions.push(Action::Answer),
            Writer::Marked { asked, answered } => {
                let passed = Self::passed(writer_counts, asked, answered, now);
                let may = lifetimes.may_commit(passed);
                actions.push(if may { Action::Send } else { Action::Ask });
            }
            Writer::Sent { .. } | Writer::Over => {}
        }
        match moment.observer {
            Observer::Idle => actions.push(Action::Look),
            Observer::Looking { found: None, .. } => actions.push(Action::Find),
            Observer::Looking { found: Some(_), .. } => actions.push(Action::See),
            Observer::Seen { asked, answered, .. } => {
                if lifetimes.may_bury(Self::passed(observer_counts, asked, answered, now)) {
                    actions.push(Action::Bury);
                }
            }
            Observer::Burying { .. } => actions.push(Action::Buried),
            Observer::Over => {}
        }
    }

    fn next_state(&self, last: &Moment, action: Action) -> Option<Moment> {
        let mut moment = *last;
        let now = moment.now;
        match (action, moment.writer, moment.observer) {
            (Action::Pass, writer, _) => {
                moment.now += 1;
                if let Writer::Sent { at } = writer
                    && Duration::from_secs((moment.now - at).into()) > self.lands
                {
                    moment.writer = Writer::Over;
                }
            }
            (Action::Ask, ..) => {
                moment.writer = Writer::Asking { asked: now, set: false };
                if !self.names_recur || moment.name == 0 {
                    moment.name += 1;
                }
            }
            (Action::Set, Writer::Asking { asked, .. }, _) => {
                moment.writer = Writer::Asking { asked, set: true };
                // The one before is lifted in the same step.
                moment.mark = Some(moment.name);
            }
            (Action::Answer, Writer::Asking { asked, .. }, _) => {
                moment.writer = Writer::Marked { asked, answered: now };
            }
            (Action::Send, ..) => moment.writer = Writer::Sent { at: now },
            (Action::Look, ..) => {
                moment.observer = Observer::Looking { asked: now, found: None };
            }
            (Action::Find, _, Observer::Looking { asked, .. }) => {
                let found = moment.mark?;
                moment.observer = Observer::Looking { asked, found: Some(found) };
            }
            (Action::See, _, Observer::Looking { asked, found: Some(name) }) => {
                moment.observer = Observer::Seen { asked, answered: now, name };
            }
            (Action::Bury, _, Observer::Seen { name, .. }) => {
                moment.observer = Observer::Burying { name };
            }
            (Action::Buried, _, Observer::Burying { name }) => {
                moment.mark = moment.mark.filter(|there| *there != name);
                moment.observer = Observer::Over;
            }
            _ => return None,
        }
        Some(moment)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let marked = |_: &Lapse, moment: &Moment| {
            !matches!(moment.writer, Writer::Sent { .. }) || moment.mark.is_some()
        };
        // A model in which this held would be about nothing.
        let never =
            |_: &Lapse, moment: &Moment| moment.observer != Observer::Over || moment.mark.is_some();
        vec![
            Property::always("what may land is marked", marked),
            Property::always("nothing is buried", never),
        ]
    }
}

fn check(name: &str, lapse: Lapse, holds: bool) {
    let checker = lapse.checker().threads(1).spawn_bfs().join();
    let found = checker.discoveries();
    println!("{name:<66} in {} states", checker.unique_state_count());
    assert!(found.contains_key("nothing is buried"), "{name}");
    let broken = found.get("what may land is marked").map(|path| path.clone().into_actions());
    assert_eq!(broken.is_none(), holds, "{name}: {broken:?}");
}

#[test]
fn nothing_lands_after_its_mark_was_buried() {
    check("lifetimes", LIBRARY, true);
}

#[test]
fn other_lifetimes() {
    let cases = [
        ("the writer counts from the answer", Lapse { writer_counts: Since::Answered, ..LIBRARY }),
        ("the observer counts from asking", Lapse { observer_counts: Since::Asked, ..LIBRARY }),
        ("a further mark has the same name", Lapse { names_recur: true, ..LIBRARY }),
        (
            "commits land later than that",
            Lapse { lands: LIFETIMES.late + Duration::from_secs(1), ..LIBRARY },
        ),
    ];
    for (name, lapse) in cases {
        check(name, lapse, false);
    }
}
