//! What the model says of itself and of the lock: a module for each question.

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
