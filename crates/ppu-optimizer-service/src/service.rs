//! The methods of `ppu.optimizer.v1.OptimizerService`.

use ppu_optimizer::Study;
use ppu_optimizer::study::{Record, StudyError};
use ppu_proto::optimizer::v1 as wire;
use ppu_proto::optimizer::v1::optimizer_service_server::OptimizerService;
use tonic::{Request, Response, Status};

use crate::from_wire::{self, Incomplete};
use crate::store::{StoreError, Studies, is_name};
use crate::to_wire;

type Answered<T> = Result<Response<T>, Status>;

pub(crate) struct Api {
    studies: Studies,
}

impl Api {
    pub(crate) fn new(studies: Studies) -> Api {
        Api { studies }
    }

    /// Reads a study, away from the threads that serve.
    async fn read<T: Send + 'static>(
        &self,
        name: &str,
        act: impl FnOnce(&Study) -> Result<T, StudyError> + Send + 'static,
    ) -> Result<T, Status> {
        let study = self.studies.get(name).ok_or_else(|| unknown(name))?.lock_owned().await;
        blocking(move || act(&study).map_err(|error| refused(&error))).await
    }

    /// Changes a copy of a study, writes its file, and only then takes the copy for the study: what is answered is on disk.
    async fn change<T: Send + 'static>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Study) -> Result<T, StudyError> + Send + 'static,
    ) -> Result<T, Status> {
        let mut study = self.studies.get(name).ok_or_else(|| unknown(name))?.lock_owned().await;
        let (studies, name) = (self.studies.clone(), name.to_owned());
        blocking(move || {
            let mut changed = study.clone();
            let answer = act(&mut changed).map_err(|error| refused(&error))?;
            studies.write(&name, changed.record()).map_err(|error| broken(&error))?;
            *study = changed;
            Ok(answer)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Status> + Send + 'static) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Status::internal(format!("the question could not be worked on: {error}"))))
}

fn unknown(name: &str) -> Status {
    Status::not_found(format!("there is no study called `{name}`"))
}

/// An error with all that lies under it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text += &format!(": {inner}");
        source = inner.source();
    }
    text
}

fn refused(error: &StudyError) -> Status {
    match error {
        StudyError::Duplicate(_) => Status::already_exists(chain(error)),
        StudyError::Unknown(_) => Status::not_found(chain(error)),
        _ => Status::invalid_argument(chain(error)),
    }
}

fn incomplete(error: Incomplete) -> Status {
    Status::invalid_argument(error.to_string())
}

fn broken(error: &StoreError) -> Status {
    Status::unavailable(chain(error))
}

fn results(study: &Study) -> u32 {
    study.record().told.len() as u32
}

#[tonic::async_trait]
impl OptimizerService for Api {
    async fn create_study(&self, request: Request<wire::CreateStudyRequest>) -> Answered<wire::CreateStudyResponse> {
        let wire::CreateStudyRequest { name, definition, record_json } = request.into_inner();
        if !is_name(&name) {
            let text = format!("`{name}` is not a name: use letters, digits, '.', '_' and '-', at most 100");
            return Err(Status::invalid_argument(text));
        }
        let studies = self.studies.clone();
        let features = blocking(move || {
            let study = match definition {
                _ if !record_json.is_empty() => {
                    let record: Record = serde_json::from_str(&record_json)
                        .map_err(|error| Status::invalid_argument(format!("record_json is not a record: {error}")))?;
                    Study::resume(record)
                }
                Some(definition) => Study::new(from_wire::definition(definition).map_err(incomplete)?),
                None => return Err(Status::invalid_argument("neither a definition nor a record is given")),
            };
            let study = study.map_err(|error| refused(&error))?;
            let features = study.domain().features().iter().map(|feature| feature.name.clone()).collect();
            match studies.add(&name, study).map_err(|error| broken(&error))? {
                true => Ok(features),
                false => Err(Status::already_exists(format!("there is a study called `{name}` already"))),
            }
        });
        Ok(Response::new(wire::CreateStudyResponse { features: features.await? }))
    }

    async fn get_study(&self, request: Request<wire::GetStudyRequest>) -> Answered<wire::GetStudyResponse> {
        let name = request.into_inner().name;
        let record = self.read(&name, |study| Ok(study.record().clone())).await?;
        let record_json =
            serde_json::to_string(&record).map_err(|error| Status::internal(format!("no record: {error}")))?;
        let pending = record.pending.iter().map(to_wire::pending).collect();
        Ok(Response::new(wire::GetStudyResponse { record_json, results: record.told.len() as u32, pending }))
    }

    async fn list_studies(&self, _: Request<wire::ListStudiesRequest>) -> Answered<wire::ListStudiesResponse> {
        Ok(Response::new(wire::ListStudiesResponse { names: self.studies.names() }))
    }

    async fn delete_study(&self, request: Request<wire::DeleteStudyRequest>) -> Answered<wire::DeleteStudyResponse> {
        let name = request.into_inner().name;
        let studies = self.studies.clone();
        let asked = name.clone();
        match blocking(move || studies.remove(&asked).map_err(|error| broken(&error))).await? {
            true => Ok(Response::new(wire::DeleteStudyResponse {})),
            false => Err(unknown(&name)),
        }
    }

    async fn ask(&self, request: Request<wire::AskRequest>) -> Answered<wire::AskResponse> {
        let wire::AskRequest { name, count } = request.into_inner();
        let answer = self.change(&name, move |study| study.ask(count as usize)).await?;
        Ok(Response::new(to_wire::answer(&answer)))
    }

    async fn tell(&self, request: Request<wire::TellRequest>) -> Answered<wire::TellResponse> {
        let wire::TellRequest { name, results: told, comparisons, pending } = request.into_inner();
        let told = told.into_iter().map(from_wire::told).collect::<Result<Vec<_>, _>>().map_err(incomplete)?;
        let pending = pending.into_iter().map(from_wire::pending).collect::<Result<Vec<_>, _>>().map_err(incomplete)?;
        let count = self.change(&name, move |study| {
            told.into_iter().try_for_each(|one| study.tell(one))?;
            comparisons.into_iter().try_for_each(|one| study.prefer(from_wire::comparison(one)))?;
            pending.into_iter().try_for_each(|one| study.expect(one))?;
            Ok(results(study))
        });
        Ok(Response::new(wire::TellResponse { results: count.await? }))
    }

    async fn forget(&self, request: Request<wire::ForgetRequest>) -> Answered<wire::ForgetResponse> {
        let wire::ForgetRequest { name, ids } = request.into_inner();
        let count = self.change(&name, move |study| {
            ids.iter().try_for_each(|id| study.forget(id))?;
            Ok(results(study))
        });
        Ok(Response::new(wire::ForgetResponse { results: count.await? }))
    }

    async fn predict(&self, request: Request<wire::PredictRequest>) -> Answered<wire::PredictResponse> {
        let wire::PredictRequest { name, designs } = request.into_inner();
        let designs = designs.into_iter().enumerate().map(|(at, one)| from_wire::design(&format!("design {at}"), one));
        let designs = designs.collect::<Result<Vec<_>, _>>().map_err(incomplete)?;
        let forecasts = self.read(&name, move |study| study.predict(&designs)).await?;
        Ok(Response::new(wire::PredictResponse { forecasts: forecasts.iter().map(to_wire::forecast).collect() }))
    }

    async fn explain(&self, request: Request<wire::ExplainRequest>) -> Answered<wire::ExplainResponse> {
        let wire::ExplainRequest { name, design } = request.into_inner();
        let design = design.ok_or_else(|| Status::invalid_argument("the design is not given"))?;
        let design = from_wire::design("the design", design).map_err(incomplete)?;
        let explanation = self.read(&name, move |study| study.explain(&design)).await?;
        Ok(Response::new(to_wire::explanation(&explanation)))
    }

    async fn get_best(&self, request: Request<wire::GetBestRequest>) -> Answered<wire::GetBestResponse> {
        let name = request.into_inner().name;
        let best = self.read(&name, Study::best).await?;
        Ok(Response::new(wire::GetBestResponse { best: best.iter().map(to_wire::best).collect() }))
    }
}
