//! Steps about containers that go on, and into one that is there.

use super::Made;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::record::{self, Brief, RecordItem};
use crate::spec::Spec;
use crate::step::{ChildStep, HostStep, Need};
use crate::{detach, explain, supervise, sys};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::DupFlags;

/// Nobody waits to hear that it runs.
pub(super) fn is_untold(spec: &Spec, plan: &Plan) -> bool {
    let terminal = plan.child.iter().any(|s| matches!(s, ChildStep::OpenTerminal { .. }));
    let plugged = plan.host.iter().any(|s| matches!(s, HostStep::Net(_)));
    !spec.detach && !terminal && !plugged
}

/// Nor need anybody know of it who has not asked for it by name: what has to be cleared up is noted
/// where it costs less than in a record.
pub(super) fn noted_briefly(made: &mut Made, items: &[RecordItem], need: Need) -> bool {
    if need == Need::Undo {
        made.brief = record::brief::claim(items);
    }
    need == Need::Nobody || made.brief.is_some()
}

/// It goes on: others shall find it. Where they cannot, what was noted for the end stays.
pub(super) fn announce(plan: &Plan, made: &mut Made) {
    let mut steps = plan.host.iter();
    let step =
        steps.find(|s| matches!(s, HostStep::Record { .. })).filter(|_| made.record.is_none());
    if let Some(HostStep::Record { id, items, facts, .. }) = step {
        made.record = record::create(id, items, facts).ok();
    }
    if made.record.is_some() {
        made.brief.take().into_iter().for_each(Brief::free);
    }
}

/// Whether it has ended before anybody need hear of it.
pub(super) fn ends_at_once(made: &mut Made) -> Result<bool> {
    let Some(child) = made.child else { return Ok(false) };
    made.ended = supervise::ends_at_once(child)?;
    if made.ended.is_some() {
        made.child = None;
    }
    Ok(made.ended.is_some())
}

/// Steps for those that come later, or are let go.
pub(super) fn living_step(step: &HostStep, opened: &mut [OwnedFd], made: &mut Made) -> Result<()> {
    match step {
        HostStep::Enter { pidfd, kinds, .. } => {
            // From now on processes inside may see ours: not its memory, descriptors, program.
            let hidden = rustix::process::DumpableBehavior::NotDumpable;
            rustix::process::set_dumpable_behavior(hidden)
                .and_then(|()| sys::join(pidfd.as_raw_fd(), *kinds))
                .map_err(|e| Error::os(explain::host_words(step), e))?;
        }
        HostStep::OomScore(score) => {
            std::fs::write("/proc/self/oom_score_adj", score.to_string()).map_err(|e| {
                Error::os(explain::host_words(step), e)
                    .hint("less than launch's own needs CAP_SYS_RESOURCE")
            })?;
        }
        HostStep::MakeFile { file, slot } => {
            if let (Some(record), Some(place)) = (&made.record, opened.get_mut(*slot)) {
                rustix::io::dup3(record.make_file(*file)?, place, DupFlags::CLOEXEC)
                    .map_err(|e| Error::os(explain::host_words(step), e))?;
            }
        }
        HostStep::ToJournal { id, slot } => {
            let stream = detach::journal(id).map_err(|e| {
                Error::os(explain::host_words(step), e).hint("is systemd-journald there?")
            })?;
            if let Some(place) = opened.get_mut(*slot) {
                rustix::io::dup3(stream, place, DupFlags::CLOEXEC)
                    .map_err(|e| Error::os(explain::host_words(step), e))?;
            }
        }
        HostStep::WriteFile { path, name, .. } => {
            detach::write_file(path, name.as_deref(), made.child)
                .map_err(|e| Error::os(explain::host_words(step), e))?;
            made.files.push(path.clone());
        }
        HostStep::NoteProcess => {
            if let (Some(record), Some(child)) = (&made.record, made.child) {
                record.note_process(child.as_raw_pid())?;
            }
        }
        _ => {}
    }
    Ok(())
}
