//! What a reader concludes, case by case.

use crate::protocol::{
    Sight,
    Verdict::{self, Hit, Miss},
    judge, stamp,
};

const CLEAN: Sight<'_, char, u32> =
    Sight { stamps: &[Some('a')], founded: true, marked: false, position: Some(1) };
const OTHER: Sight<'_, char, u32> =
    Sight { stamps: &[Some('b'), Some('c')], position: Some(3), ..CLEAN };

fn miss(keep: bool, replayed: Option<u32>) -> Verdict<u32> {
    Miss { keep, replayed }
}

#[test]
fn an_entry_is_believed_under_the_same_stamps_alone() {
    let both = [CLEAN, OTHER];
    assert_eq!(judge(&both, Some(&['a', 'b', 'c'])), Hit);
    for entry in [&['a', 'b', 'd'][..], &['a', 'c', 'b'], &['a', 'b'], &['a', 'b', 'c', 'd'], &[]] {
        assert_eq!(judge(&both, Some(entry)), miss(true, Some(3)), "{entry:?}");
    }
    assert_eq!(judge(&both, None), miss(true, Some(3)));
}

#[test]
fn one_record_that_is_not_settled_is_enough() {
    for unsettled in [Sight { marked: true, ..OTHER }, Sight { founded: false, ..OTHER }] {
        for sights in [[CLEAN, unsettled], [unsettled, CLEAN]] {
            for entry in [&['a', 'b', 'c'][..], &['b', 'c', 'a']] {
                assert_eq!(judge(&sights, Some(entry)), miss(false, None));
            }
        }
    }
}

#[test]
fn what_is_lost_equals_nothing() {
    let lost = Sight { stamps: &[None], ..CLEAN };
    assert_eq!(judge(&[lost], Some(&[])), miss(false, Some(1)));
    assert_eq!(judge(&[lost], Some(&['a'])), miss(false, Some(1)));
    assert_eq!(stamp(None, None::<char>), None);
    assert_eq!(stamp(None, Some('a')), Some('a'));
    assert_eq!(stamp(Some('b'), Some('a')), Some('b'));
    assert_eq!(stamp(Some('b'), None), Some('b'));
}

#[test]
fn a_position_that_is_not_known_is_that_of_the_primary() {
    let untold = Sight { position: None, ..OTHER };
    assert_eq!(judge(&[CLEAN, untold], None), miss(true, None));
    assert_eq!(judge(&[CLEAN, OTHER], None), miss(true, Some(3)));
}
