//! Rows of the table, and how they are made.

use serde::{Deserialize, Serialize};

use crate::{
    bound::Bound,
    contender::{Contender, Kind},
    measure::{Operation, Result, Span, Timing, Turns},
};

/// The bare algorithm's name in a row.
pub(crate) const RAW: &str = "raw AWS-LC";

/// One cell's place in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Column {
    /// Who did it.
    pub(crate) who: String,
    /// In which of the row's ways, such as with how many threads; mostly there is one way without a name.
    pub(crate) how: String,
}

impl Column {
    /// The only way.
    pub(crate) fn of(who: &str) -> Self {
        Self::with(who, "")
    }

    /// One of several ways.
    pub(crate) fn with(who: &str, how: &str) -> Self {
        Self { who: who.to_owned(), how: how.to_owned() }
    }

    /// This module.
    pub(crate) fn ours(how: &str) -> Self {
        Self::with(Kind::Trellis.name(), how)
    }
}

/// What the numbers of a row are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    /// Nanoseconds per operation.
    Time,
    /// Bytes.
    Bytes,
    /// Instructions of a processor.
    Instructions,
}

/// One row: who took how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The heading that it stands under.
    pub(crate) group: String,
    /// What was done.
    pub(crate) what: String,
    /// What the timings are.
    pub(crate) unit: Unit,
    /// Of each contender that can do it; the bare algorithm comes first.
    pub(crate) timings: Vec<(Column, Timing)>,
    /// What the project promises of this row.
    pub(crate) bounds: Vec<Bound>,
}

impl Row {
    /// A cell.
    pub(crate) fn timing(&self, column: &Column) -> Option<Timing> {
        self.timings.iter().find(|(other, _)| other == column).map(|(_, timing)| *timing)
    }

    /// The ways in which it was done, in order.
    pub(crate) fn ways(&self) -> Vec<&str> {
        let mut ways = Vec::new();
        for (column, _) in &self.timings {
            if !ways.contains(&&*column.how) {
                ways.push(&*column.how);
            }
        }
        ways
    }
}

type Fill = Box<dyn for<'a> Fn(&'a [Contender], &mut Builder<'a>) -> Result<()>>;

/// A row that can be measured.
pub(crate) struct Plan {
    group: &'static str,
    what: String,
    bounds: Vec<Bound>,
    /// How many times as many turns it gets as others.
    longer: usize,
    /// What values are that took no turns.
    unit: Unit,
    fill: Fill,
}

impl Plan {
    /// `fill` adds what each contender does.
    pub(crate) fn new(
        group: &'static str,
        what: impl Into<String>,
        fill: impl for<'a> Fn(&'a [Contender], &mut Builder<'a>) -> Result<()> + 'static,
    ) -> Self {
        Self {
            group,
            what: what.into(),
            bounds: Vec::new(),
            longer: 1,
            unit: Unit::Bytes,
            fill: Box::new(fill),
        }
    }

    /// The same with what is promised of it.
    pub(crate) fn promising(self, bounds: impl IntoIterator<Item = Bound>) -> Self {
        Self { bounds: bounds.into_iter().collect(), ..self }
    }

    /// The same with so many times the turns, where they differ by more than a strict promise allows: how often ML-DSA rejects is
    /// chance, and a disk is never quite quiet.
    pub(crate) fn longer(self, longer: usize) -> Self {
        Self { longer, ..self }
    }

    /// The same with values of another unit than bytes.
    pub(crate) fn of(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// Whether its heading or its group's contains `only`.
    pub(crate) fn is_wanted(&self, only: &str) -> bool {
        format!("{}: {}", self.group, self.what).to_lowercase().contains(&only.to_lowercase())
    }

    /// Measures it.
    pub(crate) fn measure(self, contenders: &[Contender], turns: Turns) -> Result<Row> {
        let mut builder = Builder::default();
        let turns = turns.longer(self.longer);
        let filled = (self.fill)(contenders, &mut builder);
        let timings = filled.and_then(|()| builder.run(turns));
        let timings = timings.map_err(|error| format!("{}: {error}", self.what))?;
        let no_turns = timings.iter().all(|(_, timing)| timing.cpu.is_none());
        let unit = if no_turns { self.unit } else { Unit::Time };
        Ok(Row { group: self.group.to_owned(), what: self.what, unit, timings, bounds: self.bounds })
    }
}

/// A row in the making.
#[derive(Default)]
pub(crate) struct Builder<'a> {
    columns: Vec<Column>,
    operations: Vec<Operation<'a>>,
    values: Vec<(Column, Timing)>,
}

impl<'a> Builder<'a> {
    /// What takes turns with the others.
    pub(crate) fn add(&mut self, column: Column, operation: Operation<'a>) {
        self.columns.push(column);
        self.operations.push(operation);
    }

    /// One operation of each contender that can do it.
    pub(crate) fn each(
        &mut self,
        contenders: &'a [Contender],
        of: impl Fn(&'a Contender) -> Result<Option<Operation<'a>>>,
    ) -> Result<()> {
        for contender in contenders {
            let name = contender.kind.name();
            if let Some(operation) = of(contender).map_err(|error| format!("{name}: {error}"))? {
                self.add(Column::of(name), operation);
            }
        }
        Ok(())
    }

    /// What needs no turns: bytes, or instructions.
    pub(crate) fn add_values(&mut self, column: Column, values: Vec<f64>) {
        self.values.push((column, Timing::of_values(values)));
    }

    /// What was done once, and took so long.
    pub(crate) fn add_once(&mut self, column: Column, span: Span) {
        self.values.push((column, Timing::of_one(span)));
    }

    fn run(mut self, turns: Turns) -> Result<Vec<(Column, Timing)>> {
        let timings = turns.run(&mut self.operations)?;
        Ok(self.columns.into_iter().zip(timings).chain(self.values).collect())
    }
}
