//! Cuts a plan into vertices: operators stay together unless rows must be exchanged between subtasks.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use weir_protocol::job_graph::{JobEdge, JobVertex, Partitioning};
use xxhash_rust::xxh3::xxh3_64;

use super::JobOptions;
use super::operator::{fields, operators};
use super::two_phase;
use crate::script::SqlError;
use crate::stream::{Node, NodeKind, skeleton};

/// The vertices that are placed so far.
pub(super) struct Vertices<'a> {
    options: &'a JobOptions,
    vertices: Vec<JobVertex>,
    edges: Vec<JobEdge>,
    /// Number of consumers of each node.
    consumers: HashMap<*const Node, usize>,
    /// The vertices that together emit the rows of a node.
    placed: HashMap<*const Node, Vec<usize>>,
    uids: BTreeSet<String>,
}

impl<'a> Vertices<'a> {
    pub(super) fn new(sinks: &[Rc<Node>], options: &'a JobOptions) -> Self {
        let mut consumers = HashMap::new();
        for sink in sinks {
            count_consumers(sink, &mut consumers);
        }
        Self { options, vertices: Vec::new(), edges: Vec::new(), consumers, placed: HashMap::new(), uids: BTreeSet::new() }
    }

    pub(super) fn finish(self) -> (Vec<JobVertex>, Vec<JobEdge>) {
        (self.vertices, self.edges)
    }

    /// Places a node after its inputs. Returns the vertices that emit its rows.
    pub(super) fn place(&mut self, node: &Rc<Node>) -> Result<Vec<usize>, SqlError> {
        if let Some(placed) = self.placed.get(&Rc::as_ptr(node)) {
            return Ok(placed.clone());
        }
        let mut inputs = Vec::new();
        for input in &node.inputs {
            inputs.extend(self.place(input)?);
        }
        let placed = match &node.kind {
            NodeKind::Union => inputs,
            NodeKind::Scan { .. } => vec![self.vertex(node, self.options.parallelism)?],
            NodeKind::Values { .. } => vec![self.vertex(node, 1)?],
            NodeKind::WindowAggregate { keys, .. } | NodeKind::GroupAggregate { keys, .. } => {
                vec![self.keyed(node, keys, &inputs)?]
            }
            // The rows of a result have an order.
            NodeKind::Collect { .. } => vec![self.keyed(node, &[], &inputs)?],
            _ => vec![self.chained(node, &inputs)?],
        };
        self.placed.insert(Rc::as_ptr(node), placed.clone());
        Ok(placed)
    }

    /// A new vertex that begins with this node.
    fn vertex(&mut self, node: &Node, parallelism: u32) -> Result<usize, SqlError> {
        let uid = self.uid(node);
        self.vertices.push(JobVertex {
            uid: uid.clone(),
            name: String::new(),
            parallelism,
            operators: Vec::new(),
            output_schema: Vec::new(),
            input_schemas: Vec::new(),
        });
        let vertex = self.vertices.len() - 1;
        self.append(vertex, node, Some(uid))?;
        Ok(vertex)
    }

    /// Adds the operators of a node to a chain. One with state gets an id, by which its state is found wherever it is later.
    fn append(&mut self, vertex: usize, node: &Node, uid: Option<String>) -> Result<(), SqlError> {
        let mut operators = operators(node, self.options)?;
        let stateful = match node.kind {
            NodeKind::Scan { .. } | NodeKind::Values { .. } => operators.first_mut(),
            NodeKind::Watermark { .. }
            | NodeKind::WindowAggregate { .. }
            | NodeKind::GroupAggregate { .. }
            | NodeKind::Sink { .. }
            | NodeKind::Collect { .. } => operators.last_mut(),
            NodeKind::Calc { .. } | NodeKind::WindowAssign { .. } | NodeKind::Expand { .. } | NodeKind::Union => None,
        };
        if let Some(operator) = stateful {
            operator.uid = Some(uid.unwrap_or_else(|| self.uid(node)));
        }
        let vertex = &mut self.vertices[vertex];
        vertex.operators.extend(operators);
        vertex.name.push_str(if vertex.name.is_empty() { "" } else { " -> " });
        vertex.name.push_str(&short_name(node));
        vertex.output_schema = match node.kind {
            NodeKind::Sink { .. } | NodeKind::Collect { .. } => Vec::new(),
            _ => fields(node),
        };
        Ok(())
    }

    /// Adds the node to the chain of its input, if that has no other consumer; otherwise begins a vertex.
    fn chained(&mut self, node: &Node, inputs: &[usize]) -> Result<usize, SqlError> {
        if let [only] = inputs
            && self.is_only_consumer(node)
        {
            self.append(*only, node, None)?;
            return Ok(*only);
        }
        let parallelism = inputs.iter().map(|input| self.vertices[*input].parallelism);
        // To spread changes over more subtasks would let a row and what takes it back go different ways (Q6).
        let parallelism = if node.input().is_updating { parallelism.min() } else { parallelism.max() }.unwrap_or(1);
        let vertex = self.vertex(node, parallelism)?;
        self.connect(inputs, vertex, None)?;
        Ok(vertex)
    }

    /// Places a node that needs all rows of a key in one subtask; without keys, all rows.
    fn keyed(&mut self, node: &Node, keys: &[usize], inputs: &[usize]) -> Result<usize, SqlError> {
        let at_one_place = |input: &usize| self.vertices[*input].parallelism == 1;
        if keys.is_empty() && inputs.len() == 1 && inputs.iter().all(at_one_place) && self.is_only_consumer(node) {
            self.append(inputs[0], node, None)?;
            return Ok(inputs[0]);
        }
        let parallelism = if keys.is_empty() { 1 } else { self.options.parallelism };
        let vertex = self.vertex(node, parallelism)?;
        if self.has_two_phases(node, inputs) {
            let mut aggregation = self.vertices[vertex].operators.remove(0);
            two_phase::split(&mut aggregation, &mut self.vertices, inputs);
            self.vertices[vertex].operators.insert(0, aggregation);
        }
        let input = node.input();
        let keys: Vec<_> = keys.iter().map(|key| input.columns[*key].name.clone()).collect();
        self.connect(inputs, vertex, (!keys.is_empty()).then_some(Partitioning::Hash { keys }))?;
        Ok(vertex)
    }

    /// Whether the rows of the inputs are aggregated before they are distributed. From a single subtask there is nothing to gain.
    fn has_two_phases(&self, node: &Node, inputs: &[usize]) -> bool {
        self.options.two_phase_aggregation != Some(false)
            && two_phase::is_possible(node)
            && inputs.iter().all(|input| self.vertices[*input].parallelism > 1)
            && two_phase::is_only_reader(node, &self.consumers)
    }

    /// Whether nothing else reads the rows that the node's only input vertex emits.
    fn is_only_consumer(&self, node: &Node) -> bool {
        let mut input = node.input();
        loop {
            if self.consumers.get(&Rc::as_ptr(input)).copied().unwrap_or(0) > 1 {
                return false;
            }
            match input.kind {
                // A union of one emits the rows of its input.
                NodeKind::Union if input.inputs.len() == 1 => input = input.input(),
                _ => return true,
            }
        }
    }

    fn connect(&mut self, inputs: &[usize], to: usize, partitioning: Option<Partitioning>) -> Result<(), SqlError> {
        let mut connected = BTreeSet::new();
        for input in inputs {
            // Two edges between the same vertices would be one; a vertex between them keeps them apart.
            let from = if connected.insert(*input) { *input } else { self.copy(*input)? };
            let same_parallelism = self.vertices[from].parallelism == self.vertices[to].parallelism;
            let otherwise = if same_parallelism { Partitioning::Forward } else { Partitioning::Rebalance };
            let partitioning = partitioning.clone().unwrap_or(otherwise);
            self.edges.push(JobEdge {
                from: self.vertices[from].uid.clone(),
                to: self.vertices[to].uid.clone(),
                input: 0,
                partitioning,
            });
        }
        Ok(())
    }

    /// A vertex that emits the rows of another unchanged.
    fn copy(&mut self, of: usize) -> Result<usize, SqlError> {
        let columns: Vec<_> = self.vertices[of]
            .output_schema
            .iter()
            .map(|field| crate::stream::Column {
                name: field.name.clone(),
                data_type: field.data_type.clone(),
                nullable: field.nullable,
                is_rowtime: false,
            })
            .collect();
        let outputs = columns
            .iter()
            .enumerate()
            .map(|(index, column)| crate::expression::Typed::column(index, column.data_type.clone(), column.nullable));
        let kind = NodeKind::Calc { filter: None, outputs: outputs.collect() };
        let node = Node { kind, inputs: Vec::new(), columns, window: None, is_updating: false };
        let copy = self.vertex(&node, self.vertices[of].parallelism)?;
        self.connect(&[of], copy, None)?;
        Ok(copy)
    }

    /// The id by which the state of a vertex is found again: the kind of its first node and what its state depends on.
    fn uid(&mut self, node: &Node) -> String {
        let digest = xxh3_64(format!("{}:{}", kind(node), skeleton(node)).as_bytes());
        let mut uid = format!("{}-{digest:016x}", kind(node));
        let mut number = 2;
        while !self.uids.insert(uid.clone()) {
            uid = format!("{}-{digest:016x}-{number}", kind(node));
            number += 1;
        }
        uid
    }
}

fn count_consumers(node: &Rc<Node>, consumers: &mut HashMap<*const Node, usize>) {
    for input in &node.inputs {
        let count = consumers.entry(Rc::as_ptr(input)).or_insert(0);
        *count += 1;
        if *count == 1 {
            count_consumers(input, consumers);
        }
    }
}

fn kind(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Scan { .. } => "source",
        NodeKind::Values { .. } => "values",
        NodeKind::Calc { .. } => "calc",
        NodeKind::Watermark { .. } => "watermark",
        NodeKind::WindowAssign { .. } => "window",
        NodeKind::Expand { .. } => "expand",
        NodeKind::WindowAggregate { .. } => "window-aggregate",
        NodeKind::GroupAggregate { .. } => "group-aggregate",
        NodeKind::Union => "union",
        NodeKind::Sink { .. } => "sink",
        NodeKind::Collect { .. } => "collect",
    }
}

fn key_names(node: &Node, keys: &[usize]) -> String {
    let input = node.input().names();
    keys.iter().map(|key| input[*key]).collect::<Vec<_>>().join(", ")
}

/// What a vertex shows of a node in its name.
fn short_name(node: &Node) -> String {
    match &node.kind {
        NodeKind::Scan { path, .. } => format!("Source: {}", path.name),
        NodeKind::Values { .. } => "Values".into(),
        NodeKind::Calc { .. } => "Calc".into(),
        NodeKind::Watermark { .. } => "WatermarkAssigner".into(),
        NodeKind::WindowAssign { .. } => "WindowTableFunction".into(),
        NodeKind::Expand { .. } => "Expand".into(),
        NodeKind::WindowAggregate { keys, .. } => format!("WindowAggregate[{}]", key_names(node, keys)),
        NodeKind::GroupAggregate { keys, .. } => format!("GroupAggregate[{}]", key_names(node, keys)),
        NodeKind::Union => "Union".into(),
        NodeKind::Sink { path, .. } => format!("Sink: {}", path.name),
        NodeKind::Collect { .. } => "Collect".into(),
    }
}
