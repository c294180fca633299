//! Tests of the model and of its checkers, one module for each subject.

mod random_history;
mod worlds;

mod bugs;
mod explorer;
mod fairness;
mod history;
mod judge;
mod protocol;
mod scripts;
mod spec;
