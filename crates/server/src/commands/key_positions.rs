//! Finds a request's keys among its arguments, by the key specs of its command's row.

use ochre_resp::Args;

use super::table::{BeginSearch, CommandSpec, FindKeys, KeyFlags, KeySpec};

/// The arguments do not fit the key specs: the number of keys is not a number, or there are fewer arguments than keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeys;

/// Calls `visit` with the index of each key among the arguments, and with what the command does with it, in the order of the specs. An
/// index may come twice.
///
/// Redis: "Command key specifications", `getKeysUsingKeySpecs` of `db.c`.
#[inline]
pub fn positions(
    spec: &CommandSpec,
    args: Args<'_>,
    mut visit: impl FnMut(usize, KeyFlags),
) -> Result<(), InvalidKeys> {
    for key_spec in spec.keys {
        if !key_spec.flags.contains(KeyFlags::NOT_KEY) {
            positions_of(key_spec, args, &mut visit)?;
        }
    }
    if let Some(visit_unspecified) = spec.unspecified_keys {
        visit_unspecified(args, &mut visit);
    }
    Ok(())
}

fn positions_of(spec: &KeySpec, args: Args<'_>, visit: &mut impl FnMut(usize, KeyFlags)) -> Result<(), InvalidKeys> {
    let Some(first) = beginning(spec.begin, args) else { return Ok(()) };
    match spec.find {
        FindKeys::Range { last, step, limit } => {
            if first >= args.len() {
                return Ok(());
            }
            let last = if last >= 0 {
                first + last as usize
            } else if limit <= 1 {
                (args.len() as isize + last as isize).max(0) as usize
            } else {
                // The keys are the first half, third, … of the remaining arguments.
                (first + (args.len() - first) / limit as usize).saturating_sub(last.unsigned_abs().into())
            };
            if last >= args.len() {
                return Err(InvalidKeys);
            }
            let mut index = first;
            while index <= last {
                visit(index, spec.flags);
                index += step as usize;
            }
            Ok(())
        }
        FindKeys::Count { at, first: from, step } => {
            let at = first + at as usize;
            if at >= args.len() {
                return Ok(());
            }
            let count = ochre_datatypes::number::parse_i64(args.get(at)).ok_or(InvalidKeys)?;
            let count = usize::try_from(count).map_err(|_| InvalidKeys)?;
            let from = first + from as usize;
            let end = count.checked_mul(step as usize).and_then(|n| n.checked_add(from)).ok_or(InvalidKeys)?;
            if count > 0 && end - step as usize >= args.len() {
                return Err(InvalidKeys);
            }
            (from..end).step_by(step as usize).for_each(|index| visit(index, spec.flags));
            Ok(())
        }
        FindKeys::Unknown => Ok(()),
    }
}

/// Where the search begins.
fn beginning(begin: BeginSearch, args: Args<'_>) -> Option<usize> {
    match begin {
        BeginSearch::Index(index) => Some(index as usize),
        BeginSearch::Keyword { keyword, from } => {
            let is_keyword = |&index: &usize| args.get(index).eq_ignore_ascii_case(keyword.as_bytes());
            let found = if from >= 0 {
                (from as usize..args.len()).find(is_keyword)
            } else {
                let end = args.len().checked_sub(usize::from(from.unsigned_abs()))?;
                (1..=end).rev().find(is_keyword)
            };
            found.map(|index| index + 1)
        }
        BeginSearch::Unknown => None,
    }
}
