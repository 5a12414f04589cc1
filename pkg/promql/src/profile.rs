//! What each operator of a running query takes. Nothing is measured unless that is asked for.

use crate::result::OperatorStats;

/// The operators of a query, in the order in which they were opened: each before those below it.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    nodes: Vec<(OperatorStats, Option<usize>)>,
    /// Those that are being opened.
    path: Vec<usize>,
}

impl Profile {
    /// An operator is being opened; what is opened until its end is below it.
    pub fn begin(&mut self, name: String) -> usize {
        let at = self.nodes.len();
        self.nodes.push((OperatorStats { name, ..OperatorStats::default() }, self.path.last().copied()));
        self.path.push(at);
        at
    }

    pub fn end(&mut self) {
        self.path.pop();
    }

    pub fn node(&mut self, at: usize) -> Option<&mut OperatorStats> {
        self.nodes.get_mut(at).map(|(node, _)| node)
    }

    /// The highest operators, with those below.
    pub fn finish(mut self) -> Vec<OperatorStats> {
        let mut top = Vec::new();
        while let Some((mut node, parent)) = self.nodes.pop() {
            node.children.reverse();
            match parent {
                Some(parent) => self.nodes[parent].0.children.push(node),
                None => top.push(node),
            }
        }
        top.reverse();
        top
    }
}
