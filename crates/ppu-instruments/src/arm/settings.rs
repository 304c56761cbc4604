//! Settings of the arm.

use serde::Deserialize;

use crate::settings::{Check, Finding, between};

/// How the arm is reached and how long it may take.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArmSettings {
    /// Address of RTDE, `host:port`; the host of the dashboard and port 30004 when left out.
    pub rtde: Option<String>,
    /// Lab time that one pick or place may take, in seconds.
    pub program_limit_s: f64,
    /// Lab time within which a program must run after `play`, and that a paused program is waited for, in seconds.
    pub start_limit_s: f64,
}

impl Default for ArmSettings {
    fn default() -> Self {
        Self { rtde: None, program_limit_s: 300.0, start_limit_s: 30.0 }
    }
}

impl ArmSettings {
    /// Port of RTDE on every controller.
    const RTDE_PORT: u16 = 30_004;

    /// The address of RTDE for a dashboard at this address.
    pub(super) fn rtde_address(&self, dashboard: &str) -> String {
        self.rtde.clone().unwrap_or_else(|| {
            let host = dashboard.rsplit_once(':').map_or(dashboard, |(host, _)| host);
            format!("{host}:{}", Self::RTDE_PORT)
        })
    }
}

impl Check for ArmSettings {
    fn check(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        between(&mut found, "program_limit_s", self.program_limit_s, 5.0, 3_600.0);
        between(&mut found, "start_limit_s", self.start_limit_s, 2.0, 600.0);
        if let Some(rtde) = &self.rtde
            && !rtde.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        {
            found.push(Finding { field: "rtde", message: format!("`rtde` is `{rtde}`, but must be host:port") });
        }
        found
    }
}
