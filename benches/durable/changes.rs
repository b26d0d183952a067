//! What it costs to tell what a listing changed.

use super::stage::Stage;
use super::{Effort, Verdicts, median, milliseconds, runtime};

/// Of a source with so many clusters, none, one in a hundred or each is another one in every listing.
pub(crate) fn measure(effort: Effort, verdicts: &mut Verdicts) {
    let on = runtime("client");
    let each = effort.clusters / 5;
    let few = Stage::set(effort.clusters, 100, None, &on);
    let all = Stage::set(effort.clusters, 1, None, &on);
    let (mut none, mut some, mut every) = (Vec::new(), Vec::new(), Vec::new());
    on.block_on(async {
        for _ in 0..effort.rounds * 4 {
            none.push(milliseconds(few.refresh(1, false).await));
            some.push(milliseconds(few.refresh(1, true).await));
            every.push(milliseconds(all.refresh(1, true).await));
        }
    });
    let (none, some, every) = (median(none), median(some), median(every));
    println!(
        "       a listing of {each} clusters, from the wish to its readers: {none:.1} ms unchanged, {some:.1} ms with 1 % changed, {every:.1} ms with all changed"
    );
    verdicts.goal(
        some / none <= 1.5,
        &format!(
            "1 % changed and told / unchanged: {:.2} (goal <= 1.5)",
            some / none
        ),
    );
}
