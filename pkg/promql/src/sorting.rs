//! Stable sorting that ends when the query does: comparing labels of megabytes takes its time.

use std::cmp::Ordering;

use crate::eval::{Cx, Result};

/// Sorts `list` by `order`; one comparison looks at up to `cost` bytes of either side.
pub(crate) fn sort_by<T>(
    list: &mut Vec<T>,
    cx: &mut Cx,
    cost: impl Fn(&T) -> usize,
    order: impl Fn(&T, &T) -> Ordering,
) -> Result<()> {
    let mut places: Vec<usize> = (0..list.len()).collect();
    let mut merged = Vec::with_capacity(places.len());
    let mut run = 1;
    while run < places.len() {
        merged.clear();
        for pair in places.chunks(2 * run) {
            let (mut left, mut right) = pair.split_at(run.min(pair.len()));
            while let ([a, rest_left @ ..], [b, rest_right @ ..]) = (left, right) {
                let (x, y) = (&list[*a], &list[*b]);
                cx.work(8 + cost(x).min(cost(y)))?;
                if order(x, y).is_le() {
                    merged.push(*a);
                    left = rest_left;
                } else {
                    merged.push(*b);
                    right = rest_right;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        std::mem::swap(&mut places, &mut merged);
        run *= 2;
    }
    let mut items: Vec<Option<T>> = list.drain(..).map(Some).collect();
    list.extend(places.into_iter().filter_map(|at| items[at].take()));
    Ok(())
}
