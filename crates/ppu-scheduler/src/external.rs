//! Models of the laboratory that run elsewhere, asked over gRPC. One that is away or answers nonsense is left out of the
//! round with a remark: the lab never waits for it longer than a moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ppu_core::campaign::Strategy;
use ppu_core::lab::LabTwin;
use ppu_core::{CampaignId, Candidate, Unit};
use ppu_engine::State;
use ppu_engine::event::{LevelReport, Proposal};
use ppu_proposer::Opinion;
use ppu_proto::convert::numbers_to_wire;
use ppu_proto::twin::v1 as wire;
use ppu_proto::twin::v1::twin_service_client::TwinServiceClient;
use ppu_twin::{
    Evaluation, Fidelity, FidelityDescription, ObservableDescription, Predicted, TableTwin, TwinProvenance,
    TwinRefusal, Work,
};

use crate::propose::{self, Asked};
use crate::reactor::{Handle, on_a_thread};

/// How long a model may take for all candidates of a round. Experiments take hours; a person waits for the first of them.
const WITHIN: Duration = Duration::from_secs(60);

/// Why a model has no say in a round.
#[derive(Debug, thiserror::Error)]
enum ExternalError {
    /// Nobody answers.
    #[error("it cannot be reached")]
    Unreachable(#[from] tonic::transport::Error),
    /// The call failed.
    #[error("it failed: {0}")]
    Failed(String),
    /// It takes too long.
    #[error("it did not answer within {} s", WITHIN.as_secs())]
    Late,
    /// The answer makes no sense.
    #[error("its answer is not usable: {0}")]
    Nonsense(String),
}

/// Chooses the candidates of a round: the models that run elsewhere are asked first, all at once.
pub(crate) async fn choose(
    handle: &Handle,
    twins: &[LabTwin],
    state: &Arc<State>,
    campaign: &CampaignId,
    round: u32,
    count: usize,
) -> Result<Proposal, String> {
    let fixed = state.campaigns.get(campaign).map(|known| known.spec.fixed.clone()).unwrap_or_default();
    let asks = state.campaigns.get(campaign).is_some_and(|known| known.spec.strategy == Strategy::Optimizer);
    let clock = Arc::clone(handle.host());
    let seconds = move || clock.boot_ns() as f64 * 1e-9;
    let (mut begun, mut opinions, mut missing) = (None, Vec::new(), Vec::new());
    if asks && !twins.is_empty() {
        let (known, of, started) = (Arc::clone(state), campaign.clone(), seconds());
        let work = move || propose::questions(&known, &of, round);
        let (offered, candidates) = on_a_thread(&**handle.host(), work, "offering candidates").await?;
        begun = Some((offered, seconds() - started));
        let answers = twins.iter().map(|twin| ask(twin, &candidates, &fixed));
        for (twin, answer) in twins.iter().zip(futures_util::future::join_all(answers).await) {
            match answer {
                Ok(answers) => opinions.push(Opinion { name: twin.name.clone(), answers }),
                Err(error) => {
                    tracing::warn!(twin = twin.name, %error, "a model is left out of the round");
                    missing.push(LevelReport {
                        level: twin.name.clone(),
                        note: format!("left out of round {round}: {error}"),
                        ..LevelReport::default()
                    });
                }
            }
        }
    }
    let (known, of) = (Arc::clone(state), campaign.clone());
    let work = move || {
        let asked = Asked { begun, opinions: &opinions, seconds: &seconds };
        propose::propose(&known, &of, round, count, asked)
    };
    let mut proposal = on_a_thread(&**handle.host(), work, "choosing candidates").await?;
    proposal.levels.extend(missing);
    Ok(proposal)
}

/// Asks a model about these candidates.
async fn ask(
    twin: &LabTwin,
    candidates: &[Candidate],
    fixed: &BTreeMap<String, f64>,
) -> Result<TableTwin, ExternalError> {
    tokio::time::timeout(WITHIN, ask_patiently(twin, candidates, fixed)).await.map_err(|_| ExternalError::Late)?
}

async fn ask_patiently(
    twin: &LabTwin,
    candidates: &[Candidate],
    fixed: &BTreeMap<String, f64>,
) -> Result<TableTwin, ExternalError> {
    let failed = |status: tonic::Status| ExternalError::Failed(status.message().to_owned());
    let mut client = TwinServiceClient::connect(format!("http://{}", twin.address)).await?;
    let described = client.describe(wire::DescribeRequest {}).await.map_err(failed)?.into_inner();
    let description = description(&described)?;
    let points = candidates.iter().map(|candidate| wire::Point { values: numbers_to_wire(&candidate.0) });
    let request = wire::EvaluateRequest { candidates: points.collect(), fixed: numbers_to_wire(fixed) };
    let answer = client.evaluate(request).await.map_err(failed)?.into_inner();
    if answer.evaluations.len() != candidates.len() {
        let (said, asked) = (answer.evaluations.len(), candidates.len());
        return Err(ExternalError::Nonsense(format!("{said} evaluations of {asked} candidates")));
    }
    let rows = candidates.iter().zip(&answer.evaluations).map(|(candidate, said)| {
        let checked = evaluation(&described.model, &description, said)?;
        Ok((candidate.clone(), checked))
    });
    Ok(TableTwin::new(description.clone(), rows.collect::<Result<Vec<_>, ExternalError>>()?))
}

fn description(described: &wire::DescribeResponse) -> Result<FidelityDescription, ExternalError> {
    let observables = described.observables.iter().map(|one| {
        let nonsense = |what: &str| ExternalError::Nonsense(format!("`{}`: {what}", one.name));
        let unit = Unit::parse(&one.unit).ok_or_else(|| nonsense(&format!("`{}` is not a unit", one.unit)))?;
        let positive = |sd: f64| sd.is_finite() && sd > 0.0;
        if !(positive(one.residual_sd) && positive(one.offset_sd)) {
            return Err(nonsense("a declared standard deviation is not a positive number"));
        }
        if !(one.correlation > -1.0 && one.correlation < 1.0) {
            return Err(nonsense("the declared correlation is not above -1 and below 1"));
        }
        Ok(ObservableDescription {
            name: one.name.clone(),
            unit,
            residual_sd: one.residual_sd,
            offset_sd: one.offset_sd,
            prior_correlation: one.correlation,
        })
    });
    Ok(FidelityDescription {
        fidelity: Fidelity::Process,
        summary: described.model.clone(),
        observables: observables.collect::<Result<_, ExternalError>>()?,
        cost: Work(1),
    })
}

fn evaluation(
    model: &str,
    description: &FidelityDescription,
    said: &wire::Evaluation,
) -> Result<Result<Evaluation, TwinRefusal>, ExternalError> {
    if !said.refusal.is_empty() {
        return Ok(Err(TwinRefusal::Declined { reason: said.refusal.clone() }));
    }
    let mut predictions = BTreeMap::new();
    for one in &said.predictions {
        let declared = description.observables.iter().find(|known| known.name == one.observable);
        let nonsense = |what: &str| ExternalError::Nonsense(format!("`{}` {what}", one.observable));
        let declared = declared.ok_or_else(|| nonsense("is predicted but was not described"))?;
        if !one.mean.is_finite() {
            return Err(nonsense("is not a finite number"));
        }
        let sd = declared.residual_sd.hypot(declared.offset_sd);
        predictions.insert(one.observable.clone(), Predicted { mean: one.mean, sd });
    }
    let provenance =
        TwinProvenance { model: model.to_owned(), version: 0, fidelity: Fidelity::Process, corrected: false };
    Ok(Ok(Evaluation { predictions, geometry: None, cost: Work(1), provenance }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(unit: &str, residual_sd: f64, correlation: f64) -> wire::DescribeResponse {
        let (name, unit) = ("band_gap".to_owned(), unit.to_owned());
        let observable = wire::ObservableDescription { name, unit, residual_sd, offset_sd: 0.1, correlation };
        wire::DescribeResponse { model: "ridge 1".to_owned(), observables: vec![observable] }
    }

    fn said(observable: &str, mean: f64) -> wire::Evaluation {
        let prediction = wire::Prediction { observable: observable.to_owned(), mean };
        wire::Evaluation { predictions: vec![prediction], refusal: String::new() }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let refused = |answer: &wire::DescribeResponse| description(answer).unwrap_err().to_string();
        assert!(refused(&described("parsec", 0.1, 0.5)).contains("`parsec` is not a unit"));
        assert!(refused(&described("eV", 0.0, 0.5)).contains("standard deviation"));
        assert!(refused(&described("eV", 0.1, 1.0)).contains("correlation"));
        let sound = description(&described("eV", 0.1, 0.5)).expect("it is sound");
        let refused = |said| evaluation("m", &sound, &said).unwrap_err().to_string();
        assert!(refused(said("mass", 1.0)).contains("`mass` is predicted but was not described"));
        assert!(refused(said("band_gap", f64::NAN)).contains("not a finite number"));
        let declined = wire::Evaluation { predictions: vec![], refusal: "outside".to_owned() };
        assert!(evaluation("m", &sound, &declined).expect("a refusal is an answer").is_err());
        assert!(evaluation("m", &sound, &said("band_gap", 1.6)).expect("it is sound").is_ok());
    }
}
