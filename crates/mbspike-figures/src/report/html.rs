//! A report as one HTML page that asks for nothing else: no scripts, fonts or pictures from
//! elsewhere. Its own script shows values under the pointer; without it nothing is missing.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::page::{Block, Captioned, Page, Part, RUN_HEAD, RunRow, Section, Table};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("hover.js");

/// The page; `has_links` where it will lie in the folder that it is of, so that it can link to the folders
/// of runs.
pub(super) fn page(page: &Page, has_links: bool) -> String {
    let title = page.title();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "mbspike " (env!("CARGO_PKG_VERSION")) };
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    (contents(page))
                }
                main {
                    @for (i, section) in page.sections.iter().enumerate() {
                        (section_of(page, i, section, has_links))
                    }
                    @if !page.neuron.is_empty() {
                        section id="neuron" {
                            h2 { "The neuron" }
                            (figures(&page.neuron))
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
                footer { "Written by mbspike " (env!("CARGO_PKG_VERSION")) " from saved results." }
            }
        }
    };
    markup.into_string()
}

/// Links to the sections, or to the parts of the only one.
fn contents(page: &Page) -> Markup {
    let links: Vec<(String, &str)> = if page.is_single() {
        let parts = page.sections.iter().flat_map(|section| &section.parts);
        parts.map(|part| (part_id(0, part), part.title)).collect()
    } else {
        let sections = page.sections.iter().enumerate();
        sections.map(|(i, section)| (section_id(i), section.name.as_str())).collect()
    };
    html! {
        nav aria-label="Contents" {
            ul {
                @for (id, title) in links { li { a href={ "#" (id) } { (title) } } }
                @if !page.neuron.is_empty() { li { a href="#neuron" { "The neuron" } } }
            }
        }
    }
}

fn section_of(page: &Page, i: usize, section: &Section, has_links: bool) -> Markup {
    html! {
        @if page.is_single() {
            @for part in &section.parts {
                section id=(part_id(i, part)) { h2 { (part.title) } (blocks(part, has_links)) }
            }
        } @else {
            section id=(section_id(i)) {
                h2 { (section.name) }
                @for part in &section.parts {
                    section id=(part_id(i, part)) { h3 { (part.title) } (blocks(part, has_links)) }
                }
            }
        }
    }
}

fn section_id(i: usize) -> String {
    format!("section-{}", i + 1)
}

fn part_id(i: usize, part: &Part) -> String {
    format!("{}-{}", section_id(i), part.title.to_lowercase().replace(' ', "-"))
}

fn blocks(part: &Part, has_links: bool) -> Markup {
    html! {
        @for block in &part.blocks {
            @match block {
                Block::Conclusion(text) => p.conclusion { (text) },
                Block::Runs(all) => (runs(all, has_links)),
                Block::Notes(notes) => ul.notes { @for note in notes { li { (note) } } },
                Block::Table(table) => (self::table(table)),
                Block::Figures(all) => (figures(all)),
                Block::Code { caption, text } => {
                    figure {
                        figcaption { (caption) }
                        pre tabindex="0" { code { (text) } }
                    }
                }
            }
        }
    }
}

fn runs(runs: &[RunRow], has_links: bool) -> Markup {
    html! {
        details open[runs.len() <= MOST_OPEN] {
            summary { "Every run (" (runs.len()) ")" }
            div.scroll tabindex="0" role="region" aria-label="Every run" {
                table.numbers {
                    thead { tr { @for cell in RUN_HEAD { th scope="col" { (cell) } } } }
                    tbody {
                        @for run in runs {
                            tr {
                                th scope="row" {
                                    @if has_links { a href={ (run.folder) "/" } { (run.id) } } @else { (run.id) }
                                }
                                @for cell in &run.cells { td { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Runs that are listed without being asked for.
const MOST_OPEN: usize = 16;

/// Values under the pointer, as a script reads them; a `<` in a label could end it.
fn hover_json(figure: &crate::figure::Figure) -> Option<String> {
    let hover = figure.hover();
    let json = serde_json::to_string(hover).ok()?;
    (!hover.is_empty()).then(|| json.replace('<', "\\u003c"))
}

fn table(table: &Table) -> Markup {
    let is_headed = table.head.iter().any(|cell| !cell.is_empty());
    html! {
        figure {
            figcaption { (table.caption) }
            div.scroll tabindex="0" role="region" aria-label=(table.caption) {
                table class=(if table.is_numeric { "numbers" } else { "texts" }) {
                    @if is_headed {
                        thead { tr { @for cell in &table.head { th scope="col" { (cell) } } } }
                    }
                    tbody {
                        @for row in &table.rows {
                            tr {
                                @if let Some((name, cells)) = row.split_first() {
                                    th scope="row" { (name) }
                                    @for cell in cells {
                                        td class=[cell.contains('\n').then_some("lines")] { (cell) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn figures(figures: &[Captioned]) -> Markup {
    html! {
        div.figures {
            @for Captioned { figure, caption, .. } in figures {
                figure style={ "--width:" (figure.width_in()) "in" } {
                    div.card tabindex="0" role="group" aria-label=(figure.title()) {
                        (PreEscaped(figure.svg()))
                        @if let Some(json) = hover_json(figure) {
                            script type="application/json" { (PreEscaped(json)) }
                            div.tip hidden {}
                        }
                    }
                    figcaption { (caption) }
                }
            }
        }
    }
}
