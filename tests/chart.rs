//! The chart `helm/weir`: what it renders and refuses, that its settings and objects are such as their readers
//! take, that it can be installed and upgraded, that its
//! pods run as it says, and that it grants what is needed and no more.

mod container;
mod dashboards;
mod golden;
mod image;
mod install;
mod objects;
mod pods;
mod refused;
mod rights;
mod settings;
mod used;
mod values;
