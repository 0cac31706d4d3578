//! Requests that a web page of another site can make a browser send must change nothing.

use reqwest::header::{CONTENT_TYPE, HOST, ORIGIN, REFERER};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::{Cluster, answer, eventually, graph};

fn submission() -> String {
    json!({"job_graph": graph(), "client_token": "t"}).to_string()
}

async fn jobs(cluster: &Cluster, at: usize) -> usize {
    cluster.get(at, "/jobs").await.1["jobs"].as_array().unwrap().len()
}

/// The status and the code of the error.
async fn refusal(request: RequestBuilder) -> (u16, String) {
    let (status, body) = answer(request).await;
    let error = body["errors"][0].as_str().unwrap_or_else(|| panic!("{status} is no refusal: {body}"));
    (status, error.split(':').next().unwrap_or_default().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_can_submit_no_job() {
    let cluster = Cluster::start(2);
    let leader = cluster.leader().await;
    for at in [leader, 1 - leader] {
        let submit = |kind: &'static str| {
            cluster.http.post(cluster.url(at, "/weir/v1/jobs")).header(CONTENT_TYPE, kind).body(submission())
        };
        let json = || submit("application/json");
        // A browser sends these three types to other sites without asking them.
        for simple in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            assert_eq!(refusal(submit(simple)).await, (415, "REST-CONTENT-TYPE".into()), "{simple}");
        }
        let untyped = cluster.http.post(cluster.url(at, "/weir/v1/jobs")).body(submission());
        assert_eq!(refusal(untyped).await, (415, "REST-CONTENT-TYPE".into()));
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://evil.example:443"] {
            assert_eq!(refusal(json().header(ORIGIN, origin)).await, (403, "REST-ORIGIN".into()), "{origin}");
        }
        assert_eq!(refusal(json().header("sec-fetch-site", "cross-site")).await, (403, "REST-ORIGIN".into()));
        for host in ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "localhost.evil.example"] {
            assert_eq!(refusal(json().header(HOST, host)).await, (403, "REST-HOST".into()), "{host}");
            // Reading, too: the page of a rebound name is of the same origin and could read the configuration.
            let read = cluster.http.get(cluster.url(at, "/jobmanager/config")).header(HOST, host);
            assert_eq!(refusal(read).await, (403, "REST-HOST".into()), "{host}");
        }
    }
    assert_eq!(jobs(&cluster, leader).await, 0, "no job was started");

    // What the command line, Flink's tools and the page of this JobManager itself send is accepted.
    let own = format!("http://{}", cluster.job_managers[1 - leader].rest_address());
    let from_page = cluster.http.post(cluster.url(1 - leader, "/weir/v1/jobs")).header(ORIGIN, own);
    let from_page = from_page.header(CONTENT_TYPE, "application/json; charset=UTF-8").header(HOST, cluster.host(1 - leader));
    assert_eq!(answer(from_page.body(submission())).await.0, 201);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_page_of_the_cluster_itself_cancels_a_job_by_get() {
    let cluster = Cluster::start(2);
    let leader = cluster.leader().await;
    let standby = 1 - leader;
    let job = cluster.submit(leader, "t").await;
    let path = format!("/jobs/{job}/yarn-cancel");
    for method in [Method::GET, Method::HEAD] {
        for (name, value) in [
            ("accept", "*/*"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("referer", "http://evil.example/page"),
        ] {
            for at in [leader, standby] {
                let request = cluster.http.request(method.clone(), cluster.url(at, &path)).header(name, value);
                let status = request.send().await.unwrap().status().as_u16();
                assert!([403, 405].contains(&status), "{method} with {name}: {value} is answered with {status}");
            }
        }
    }
    assert_ne!(cluster.get(leader, &format!("/jobs/{job}/status")).await.1["status"], "CANCELED");

    // The cancel button of Flink's web UI.
    let page = format!("http://{}/", cluster.job_managers[standby].rest_address());
    let (code, body) = answer(cluster.http.get(cluster.url(standby, &path)).header(REFERER, page)).await;
    assert_eq!(code, 202, "{body}");
    eventually("the job is canceled", || async {
        (cluster.get(leader, &format!("/jobs/{job}/status")).await.1["status"] == "CANCELED").then_some(())
    })
    .await;
    cluster.stop().await;
}
