//! The training loop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use mbspike_core::activity::Counts;
use mbspike_data::{Batch, Dataset, Loader, LoaderConfig};
use mbspike_lif::optim::{Ema, Optimizer, clip_grad_norm};
use mbspike_lif::{Activity, DeferredStep, Network, StepKey};
use mbspike_results::curves::SMOOTHING_WINDOW;
use mbspike_results::files::{METRICS_FILE, STATE_FILE};
use mbspike_results::tensorboard::EventLog;
use mbspike_results::{EpochRecord, MetricsLog, MetricsMark, Record, WindowRecord, read_metrics};
use rayon::ThreadPool;

use crate::checkpoint::{self, Progress, Tally};
use crate::config::Config;
use crate::error::Error;
use crate::evaluate::{self, Evaluation, evaluate, n_correct_of};
use crate::observer::{Iteration, Observer};
use crate::sweep::Point;

/// What a run trains with, besides its config.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The data, as the config asks for them.
    pub dataset: &'a Dataset,
    /// What to compute on.
    pub device: &'a Device,
    /// The threads to compute with.
    pub pool: &'a Arc<ThreadPool>,
    /// The commit that the program was built from, for the record.
    pub commit: Option<&'a str>,
    /// Hears of every iteration.
    pub observer: &'a dyn Observer,
    /// Once it is set, the run ends after the iteration at hand with a checkpoint.
    pub stop: &'a AtomicBool,
}

/// How training ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All epochs are done.
    Finished,
    /// Loss or logits were no longer finite; says when and what.
    Diverged(String),
    /// It was asked to stop and has left a checkpoint.
    Stopped,
}

/// What is not yet known of an iteration, because nothing has waited for the device since.
struct Unread {
    iteration: u64,
    n_samples: usize,
    loss: Tensor,
    /// 0, or NaN where a logit is not finite.
    zero_or_nan: Tensor,
    n_correct: Tensor,
    activity: Counts,
}

/// A run in training.
pub struct Trainer<'a> {
    point: &'a Point,
    setting: Setting<'a>,
    folder: &'a Path,
    network: Network,
    optimizer: Optimizer,
    ema: Option<Ema>,
    train_loader: Loader,
    test_loader: Loader,
    metrics: MetricsLog,
    events: Option<EventLog>,
    progress: Progress,
    /// Iterations that `progress` does not hold the results of yet, oldest first.
    unread: Vec<Unread>,
    saved: Instant,
}

impl<'a> Trainer<'a> {
    /// A run from its start, or from the last checkpoint in `folder` if there is one.
    pub fn new(point: &'a Point, folder: &'a Path, setting: Setting<'a>) -> Result<Self, Error> {
        let config = &point.config;
        let mut learner = Learner::new(config, setting.device)?;
        let progress = if folder.join(STATE_FILE).exists() {
            learner.load(folder)?
        } else {
            Progress::default()
        };
        let Learner { network, optimizer, ema } = learner;
        setting.observer.on_run_start(point, progress.iterations);
        let train_loader = LoaderConfig {
            encoder: config.encoder.clone(),
            augment: config.augment(),
            batch_size: config.train.batch_size,
            n_classes: config.network.arch.n_classes(),
            seed: config.seed,
            shuffle: true,
        };
        let train_loader = Loader::new(setting.dataset.train.clone(), train_loader)?;
        let test_loader = evaluate::loader(config, setting.dataset.test.clone())?;
        let prepared = |loader| evaluate::prepared(loader, point, setting.pool, setting.observer);
        let (train_loader, test_loader) = (prepared(train_loader)?, prepared(test_loader)?);
        let metrics_file = folder.join(METRICS_FILE);
        let metrics = progress.open_metrics(&metrics_file)?;
        let events = if config.train.tensorboard {
            let records = read_metrics(&metrics_file, Some(&metrics.mark()))?;
            Some(EventLog::create(folder, &records, network.positions())?)
        } else {
            None
        };
        Ok(Self {
            point,
            setting,
            folder,
            network,
            optimizer,
            ema,
            train_loader,
            test_loader,
            metrics,
            events,
            progress,
            unread: vec![],
            saved: Instant::now(),
        })
    }

    /// The network in training.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// How far training is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Trains to the end, or until asked to stop.
    pub fn train(&mut self) -> Result<End, Error> {
        while self.progress.epochs < self.point.config.train.epochs {
            let epoch = self.progress.epochs;
            let mut batches = self.train_loader.epoch(epoch, self.progress.batches);
            loop {
                let (started, waited) = (Instant::now(), batches.waited());
                let Some(batch) = batches.next().transpose()? else { break };
                let waited_s = batches.waited().saturating_sub(waited).as_secs_f64();
                if let Some(cause) = self.iteration(batch)? {
                    return Ok(End::Diverged(cause));
                }
                self.add_time(started.elapsed().as_secs_f64(), waited_s);
                self.log_window(false)?;
                self.report();
                let is_stopped = self.setting.stop.load(Ordering::Relaxed);
                if is_stopped || self.is_checkpoint_due() {
                    if let Some(cause) = self.read()? {
                        return Ok(End::Diverged(cause));
                    }
                    self.save()?;
                }
                if is_stopped {
                    return Ok(End::Stopped);
                }
            }
            drop(batches);
            if let Some(cause) = self.read()? {
                return Ok(End::Diverged(cause));
            }
            self.log_window(true)?;
            let started = Instant::now();
            let Some(evaluation) = self.evaluate()? else {
                self.save()?;
                return Ok(End::Stopped);
            };
            if !evaluation.loss.is_finite() {
                let at = format!("after epoch {}", epoch + 1);
                return Ok(End::Diverged(format!("the test loss is {} {at}", evaluation.loss)));
            }
            self.finish_epoch(&evaluation, started.elapsed().as_secs_f64())?;
            self.save()?;
        }
        Ok(End::Finished)
    }

    /// One step of the optimizer; says why if the run is known to diverge.
    fn iteration(&mut self, batch: Batch) -> Result<Option<String>, Error> {
        let config = &self.point.config;
        let n_samples = batch.len();
        let (x_seq, targets) = batch.into_tensors(self.setting.device)?;
        let key = StepKey { seed: config.seed, iteration: self.progress.iterations };
        let lr = self.lr();
        let network = &mut self.network;
        let step = self
            .setting
            .pool
            .install(|| network.train_step_deferred(&x_seq, &targets, config.loss(), key))?;
        let DeferredStep { loss, logits, mut gradients, activity } = step;
        self.unread.push(Unread {
            iteration: self.progress.iterations + 1,
            n_samples,
            loss,
            zero_or_nan: (&logits * 0.0)?.sum_all()?,
            n_correct: n_correct_of(&logits, &targets)?,
            activity,
        });
        let n_in_window = self.progress.window.n_iterations + self.unread.len() as u64;
        if (self.setting.device.is_cpu() || n_in_window >= config.train.log_every)
            && let Some(cause) = self.read()?
        {
            return Ok(Some(cause));
        }
        if let Some(max_norm) = config.train.clip_grad_norm {
            clip_grad_norm(&mut gradients, max_norm)?;
        }
        self.setting.pool.install(|| self.optimizer.step(&gradients, lr))?;
        if self.setting.device.is_cpu()
            && let Some(cause) = self.lost_tau()?
        {
            return Ok(Some(cause));
        }
        if let Some(ema) = &mut self.ema {
            ema.update()?;
        }
        self.progress.batches += 1;
        self.progress.iterations += 1;
        Ok(None)
    }

    /// Waits for the device and takes the results of all iterations so far into the progress; says
    /// why if the run diverges.
    fn read(&mut self) -> Result<Option<String>, Error> {
        for unread in std::mem::take(&mut self.unread) {
            let Unread { iteration, n_samples, .. } = unread;
            let loss = unread.loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !loss.is_finite() {
                return Ok(Some(format!("the loss is {loss} in iteration {iteration}")));
            }
            if unread.zero_or_nan.to_dtype(DType::F64)?.to_scalar::<f64>()?.is_nan() {
                return Ok(Some(format!("the logits are not finite in iteration {iteration}")));
            }
            let n_correct = unread.n_correct.to_scalar::<u32>()? as usize;
            let activity = Activity::read(&unread.activity)?;
            let progress = &mut self.progress;
            progress.window.add(loss, n_samples, n_correct, &activity);
            progress.epoch.add(loss, n_samples, n_correct, &activity);
            progress.recent.push_back(n_correct as f64 / n_samples as f64);
            if progress.recent.len() as u64 > SMOOTHING_WINDOW {
                progress.recent.pop_front();
            }
            if let (Some(target), None) = (self.point.config.target, progress.iterations_to_target)
                && progress.recent.len() as u64 == SMOOTHING_WINDOW
                && progress.recent.iter().sum::<f64>() / SMOOTHING_WINDOW as f64 >= target.accuracy
            {
                progress.iterations_to_target = Some(iteration);
            }
        }
        if self.setting.device.is_cpu() { Ok(None) } else { self.lost_tau() }
    }

    /// Why the run diverges, if a learnable time constant is no number any more.
    fn lost_tau(&self) -> Result<Option<String>, Error> {
        let iteration = self.progress.iterations + 1;
        Ok(self.network.lost_tau()?.map(|(name, value)| {
            format!("the time constant {name} is {value} after iteration {iteration}")
        }))
    }

    /// The learning rate of the epoch at hand.
    fn lr(&self) -> f64 {
        let train = &self.point.config.train;
        let (epoch, n_epochs) = (self.progress.epochs as usize, train.epochs as usize);
        train.scheduler.lr(train.optimizer.lr(), epoch, n_epochs)
    }

    fn add_time(&mut self, time_s: f64, waited_s: f64) {
        for tally in [&mut self.progress.window, &mut self.progress.epoch] {
            tally.time_s += time_s;
            tally.waited_s += waited_s;
        }
        self.progress.add_step_time(time_s);
        self.progress.wall_time_s += time_s;
    }

    fn report(&self) {
        self.setting.observer.on_iteration(
            self.point,
            &Iteration {
                epoch: self.progress.epochs + 1,
                batch: self.progress.batches,
                n_batches: self.train_loader.n_batches(),
                iteration: self.progress.iterations,
                loss: self.progress.epoch.mean_loss(),
                train_accuracy: self.progress.epoch.accuracy(),
            },
        );
    }

    /// Records the window if it is full, or, at the end of an epoch, if there is anything in it.
    fn log_window(&mut self, epoch_ends: bool) -> Result<(), Error> {
        let window = &self.progress.window;
        let is_full = window.n_iterations >= self.point.config.train.log_every;
        let is_rest = epoch_ends && window.n_iterations > 0;
        if !is_full && !is_rest {
            return Ok(());
        }
        let window = std::mem::take(&mut self.progress.window);
        let activity = window.activity();
        self.append(&Record::Window(WindowRecord {
            epoch: u64::from(self.progress.epochs) + 1,
            iteration: self.progress.iterations,
            n_iterations: window.n_iterations,
            loss: window.mean_loss(),
            train_accuracy: window.accuracy(),
            nonzero_rate: activity.nonzero_rate(),
            mean_spike: activity.mean_value(),
            lr: self.lr(),
            step_time_s: window.step_time_s(),
            loader_share: window.loader_share(),
        }))
    }

    fn append(&mut self, record: &Record) -> Result<(), Error> {
        self.metrics.append(record)?;
        if let Some(events) = &mut self.events {
            events.append(record)?;
        }
        Ok(())
    }

    /// Evaluates on the test set, with the averaged weights if there are such.
    fn evaluate(&mut self) -> Result<Option<Evaluation>, Error> {
        let Setting { pool, observer, stop, .. } = self.setting;
        let (point, n) = (self.point, self.test_loader.n_batches());
        let mut on_batch = |n_done| observer.on_evaluation(point, n_done, n);
        self.swap_averages()?;
        let loss = point.config.loss();
        let evaluation =
            evaluate(&mut self.network, &self.test_loader, loss, pool, stop, &mut on_batch);
        self.swap_averages()?;
        evaluation
    }

    fn swap_averages(&mut self) -> Result<(), Error> {
        match &mut self.ema {
            Some(ema) => Ok(ema.swap()?),
            None => Ok(()),
        }
    }

    fn finish_epoch(&mut self, evaluation: &Evaluation, time_s: f64) -> Result<(), Error> {
        let epoch: Tally = std::mem::take(&mut self.progress.epoch);
        self.progress.epochs += 1;
        self.progress.batches = 0;
        self.progress.wall_time_s += time_s;
        let activity = epoch.activity();
        let is_last = self.progress.epochs == self.point.config.train.epochs;
        let record = EpochRecord {
            epoch: self.progress.epochs.into(),
            iteration: self.progress.iterations,
            train_loss: epoch.mean_loss(),
            train_accuracy: epoch.accuracy(),
            test_loss: evaluation.loss,
            test_accuracy: evaluation.accuracy,
            train_nonzero_rate: activity.nonzero_rate(),
            train_mean_spike: activity.mean_value(),
            test_nonzero_rate: evaluation.activity.nonzero_rate(),
            test_mean_spike: evaluation.activity.mean_value(),
            epoch_time_s: epoch.time_s + time_s,
            step_time_s: epoch.step_time_s(),
            loader_share: epoch.loader_share(),
            test_confusion: is_last.then(|| evaluation.confusion.clone()),
        };
        self.append(&Record::Epoch(record.clone()))?;
        self.setting.observer.on_epoch_end(self.point, &record);
        Ok(())
    }

    fn is_checkpoint_due(&self) -> bool {
        let train = &self.point.config.train;
        train.checkpoint_every.is_some_and(|n| self.progress.iterations.is_multiple_of(n))
            || train.checkpoint_every_s.is_some_and(|s| self.saved.elapsed().as_secs_f64() >= s)
    }

    /// Saves weights, then the state that names them: the checkpoint is made when that is there.
    fn save(&mut self) -> Result<(), Error> {
        let mark = self.metrics.sync()?;
        self.progress.metrics_bytes = mark.bytes;
        self.progress.metrics_checksum = Some(mark.checksum);
        let ema = self.ema.as_mut();
        let weights = checkpoint::save_averaged_weights(self.folder, &self.network, ema)?;
        self.progress.weights = Some(weights);
        let (ema, progress) = (self.ema.as_ref(), &self.progress);
        checkpoint::save_state(self.folder, &self.network, &self.optimizer, ema, progress)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// What belongs to the run of `metrics.jsonl`.
    pub fn metrics_mark(&self) -> MetricsMark {
        self.metrics.mark()
    }
}

/// What learns: all that a state is of.
pub(crate) struct Learner {
    network: Network,
    optimizer: Optimizer,
    ema: Option<Ema>,
}

impl Learner {
    /// As a run starts.
    pub(crate) fn new(config: &Config, device: &Device) -> Result<Self, Error> {
        let network = Network::new(&config.network_config(), config.seed, device)?;
        let optimizer = Optimizer::new(config.train.optimizer, network.parameters())?;
        let ema =
            config.train.ema.map(|decay| Ema::new(decay, network.parameters())).transpose()?;
        Ok(Self { network, optimizer, ema })
    }

    /// Goes on from the state in a run's folder, whose weights are written anew where they are not those
    /// that belong to it.
    pub(crate) fn load(&mut self, folder: &Path) -> Result<Progress, Error> {
        let Self { network, optimizer, ema } = self;
        let mut progress = checkpoint::load_state(folder, network, optimizer, ema.as_mut())?;
        let weights = checkpoint::mend_weights(folder, network, ema.as_mut(), &progress)?;
        progress.weights = Some(weights);
        Ok(progress)
    }
}
