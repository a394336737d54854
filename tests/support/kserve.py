"""Specs and statuses of KServe 0.7 to 0.20 as stored in clusters, with the defaults of its webhook."""

from __future__ import annotations

from typing import Any

from manyserve.api.unsupported import UNSUPPORTED

Manifest = dict[str, Any]
RESOURCES = {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}}
URI = "gs://kfserving-examples/models/sklearn/1.0/model"


def _model(name: str, **fields: Any) -> Manifest:
    """Return `model` as KServe's defaulting stores it."""
    return {"modelFormat": {"name": name}, "name": "", "resources": RESOURCES} | fields


HOSTS: dict[str, Manifest] = {
    "triton as 0.8 stores it": {
        "predictor": {
            "minReplicas": 1,
            "model": _model(
                "triton",
                runtime="kserve-tritonserver",
                protocolVersion="v2",
                args=["--model-control-mode=explicit"],
                resources={},
            ),
        }
    },
    "triton as 0.20 stores it": {
        "predictor": {"automountServiceAccountToken": False, "model": _model("triton", protocolVersion="v2")}
    },
    "MLServer as 0.8 stores it": {
        "predictor": {
            "model": _model(
                "sklearn",
                runtime="kserve-mlserver",
                protocolVersion="v2",
                env=[{"name": "MLSERVER_LOAD_MODELS_AT_STARTUP", "value": "false"}],
            )
        }
    },
    "scikit-learn": {"predictor": {"model": _model("sklearn", runtimeVersion="v0.15.2")}},
    "XGBoost": {"predictor": {"model": {"modelFormat": {"name": "xgboost"}}}},
    "LightGBM": {"predictor": {"model": {"modelFormat": {"name": "lightgbm"}, "image": "example/server:1"}}},
}
"""Specs of hosts."""

OTHERS: dict[str, Manifest] = {
    "model with storageUri": {
        "predictor": {"model": _model("sklearn", storageUri=URI, modelFormat={"name": "sklearn", "version": "1"})}
    },
    "named server with storageUri": {"predictor": {"sklearn": {"storageUri": URI, "name": "", "resources": {}}}},
    "storage": {
        "predictor": {
            "model": _model("onnx", storage={"key": "localMinIO", "path": "a/b", "parameters": {"bucket": "x"}})
        }
    },
    "storage of ModelMesh": {
        "predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storage": {"path": "mnist", "schemaPath": "s"}}}
    },
    "storageUris": {
        "predictor": {
            "model": _model("vLLM"),
            "storageUris": [{"uri": "hf://a/b", "mountPath": "/mnt/a"}, {"uri": "pvc://b/c"}],
            "storageContainerName": "default",
        }
    },
    "worker spec": {
        "predictor": {
            "model": _model("huggingface", storageUri="pvc://llama/hf"),
            "workerSpec": {
                "pipelineParallelSize": 2,
                "tensorParallelSize": 1,
                "containers": [{"name": "worker-container", "resources": {"limits": {"nvidia.com/gpu": 1}}}],
            },
        }
    },
    "huggingface": {"predictor": {"huggingface": {"args": ["--model_id=x"], "name": "", "resources": RESOURCES}}},
    "tensorflow": {"predictor": {"tensorflow": {"storageUri": URI, "runtimeVersion": "2.6.2", "name": ""}}},
    "pytorch": {"predictor": {"pytorch": {"storageUri": URI, "modelClassName": "Net"}}},
    "pmml": {"predictor": {"pmml": {"storageUri": URI}}},
    "paddle": {"predictor": {"paddle": {"storageUri": URI, "resources": RESOURCES}}},
    "mlflow": {"predictor": {"model": _model("mlflow", protocolVersion="v2", storageUri=URI)}},
    "grpc": {
        "predictor": {
            "model": _model(
                "triton",
                protocolVersion="grpc-v2",
                storageUri=URI,
                ports=[{"containerPort": 9000, "name": "h2c", "protocol": "TCP"}],
            )
        }
    },
    "transformer": {
        "predictor": {"model": _model("pytorch", storageUri=URI)},
        "transformer": {"containers": [{"image": "kserve/image-transformer", "name": "kserve-container"}]},
    },
    "explainer": {
        "predictor": {"sklearn": {"storageUri": URI}},
        "explainer": {"art": {"type": "SquareAttack", "config": {"nb_classes": "10"}, "name": ""}, "minReplicas": 0},
    },
    "canary": {"predictor": {"canaryTrafficPercent": 10, "model": _model("tensorflow", storageUri=URI)}},
    "canary of 0.20": {
        "predictor": {"name": "stable", "model": _model("sklearn", storageUri=URI)},
        "canary": [{"predictor": {"name": "next", "model": _model("sklearn", storageUri=URI)}, "trafficPercent": 20}],
    },
    "logger and batcher": {
        "predictor": {
            "logger": {"mode": "all", "url": "http://message-dumper", "storage": {"path": "/logs", "key": "s3"}},
            "batcher": {"maxBatchSize": 32, "maxLatency": 500, "timeout": 60},
            "timeout": 600,
            "containerConcurrency": 0,
            "model": _model("pytorch", storageUri=URI),
        }
    },
    "scale to zero": {
        "predictor": {
            "minReplicas": 0,
            "maxReplicas": 5000,
            "scaleMetric": "concurrency",
            "scaleTarget": 1_000_000,
            "scaleMetricType": "AverageValue",
            "model": _model("sklearn", storageUri=URI),
        }
    },
    "KEDA": {
        "predictor": {
            "minReplicas": 1,
            "autoScaling": {
                "metrics": [
                    {
                        "type": "External",
                        "external": {
                            "metric": {"backend": "prometheus", "serverAddress": "http://p", "query": "vllm:waiting"},
                            "target": {"type": "Value", "value": "2"},
                        },
                    }
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
            },
            "model": _model("huggingface", storageUri=URI),
        }
    },
    "custom containers": {
        "predictor": {
            "containers": [
                {"name": "kserve-container", "image": "example/custom", "resources": {}, "env": [{"name": "A"}]},
                {"name": "Side_Car.1", "image": "example/sidecar", "resources": {}, "restartPolicy": "Always"},
            ],
            "initContainers": [{"name": "init", "image": "example/init", "resources": {}}],
            "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}],
            "nodeName": "node-1",
        }
    },
    "a sidecar beside a server": {
        "predictor": {
            "model": _model("sklearn", storageUri=URI),
            "containers": [{"name": "extra", "image": "x", "resources": {}}],
        }
    },
    "labels, annotations and a strategy": {
        "predictor": {
            "labels": {"team": "a"},
            "annotations": {"b": "c"},
            "deploymentStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "1%", "maxUnavailable": 1}},
            "model": _model("sklearn", storageUri=URI),
        }
    },
    "quantities that are none of ours": {
        "predictor": {
            "model": _model(
                "sklearn",
                storageUri=URI,
                resources={"limits": {"memory": "0", "cpu": 2, "nvidia.com/gpu": "1"}, "requests": {"cpu": 1}},
            )
        }
    },
    "confidential": {
        "predictor": {
            "model": _model("sklearn", storageUri=URI, confidential={"enabled": True, "resourceId": "kbs:///a/b/c"})
        }
    },
    "every field that is not supported": {
        each.name: {"any": ["thing", 1, None]} for each in UNSUPPORTED if each.level == "spec"
    }
    | {
        "predictor": {each.name: {"any": "thing"} for each in UNSUPPORTED if each.level == "predictor"}
        | {"model": {each.name: [{"any": "thing"}] for each in UNSUPPORTED if each.level == "server"}}
    },
    "fields of the future": {
        "router": {"kind": "future"},
        "predictor": {
            "future": [1, {"a": None}],
            "model": _model(
                "sklearn",
                future=True,
                modelFormat={"name": "sklearn", "future": {"a": 1}},
                env=[{"name": "A", "valueFrom": {"future": {}}, "future": 1}],
                resources={"future": {"a": "b"}, "claims": [{"name": "a", "future": 1}]},
                securityContext={"future": 1},
                livenessProbe={"future": 1},
            ),
            "containers": [{"name": "a", "future": 1}],
            "volumes": [{"name": "v", "future": {}}],
        },
    },
    "nulls": {
        "transformer": None,
        "predictor": {
            "minReplicas": None,
            "timeout": None,
            "model": _model(
                "sklearn", storageUri=None, resources=None, env=[{"name": "A", "value": None}], future=None
            ),
        },
    },
    "a large one": {
        "predictor": {
            "model": _model(
                "sklearn",
                args=["a" * 10_000] * 10 + ["b"] * 600,
                env=[{"name": f"A{each}", "value": "x" * 100} for each in range(600)],
                runtimeVersion="t" * 300,
            ),
            "nodeSelector": {f"example.com/{each}": "" for each in range(100)},
        }
    },
}
"""Specs of unmanaged InferenceServices."""

MODELS: dict[str, Manifest] = {
    "as in the samples": {
        "inferenceService": "triton-mms",
        "model": {"framework": "pytorch", "storageUri": "gs://b/m", "memory": "1Gi"},
    },
    "anything in its texts": {
        "inferenceService": "Not_A_Name",
        "model": {"framework": "MyAwesome Framework", "storageUri": "file:///a b?c", "memory": "0"},
    },
    "memory as a number": {
        "inferenceService": "a",
        "model": {"framework": "onnx", "storageUri": "x" * 5000, "memory": 1073741824},
    },
    "fields of the future": {
        "inferenceService": "a",
        "router": {"a": 1},
        "model": {"framework": "onnx", "storageUri": "s3://b/m", "memory": "-1", "modelClass": {"a": [None]}},
    },
}
"""Specs of TrainedModels."""

HOST_STATUS: Manifest = {
    "address": {"url": "http://a.default.svc.cluster.local", "CACerts": "x", "audience": "y", "name": "z"},
    "url": "http://a.default.example.com",
    "annotations": {"a": "b"},
    "conditions": [
        {"type": "Ready", "status": "Unknown", "severity": "Info", "lastTransitionTime": "2025-01-01T00:00:00Z"},
        {"type": "RoutesReady", "status": "Maybe", "message": "m" * 3000, "reason": "r" * 300},
    ],
    "components": {
        "predictor": {
            "latestCreatedRevision": "a-predictor-00001",
            "restURL": "http://a",
            "grpcURL": "grpc://a",
            "traffic": [{"latestRevision": True, "percent": 100, "revisionName": "r", "url": "u", "tag": "t"}],
        },
        "transformer": {"url": "http://t"},
    },
    "modelStatus": {
        "transitionStatus": "UpToDate",
        "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
        "copies": {"failedCopies": 0, "totalCopies": 1},
    },
    "deploymentMode": "Knative",
    "servingRuntimeName": "kserve-sklearnserver",
    "observedGeneration": 1,
}
"""A status as KServe writes it."""
MODEL_STATUS: Manifest = {
    "address": {"url": "http://a.default.svc.cluster.local/v2/models/m/infer", "name": "z"},
    "annotations": {"a": "b"},
    "conditions": HOST_STATUS["conditions"] * 10,
    "observedGeneration": 1,
    "url": "http://a.default.example.com/v2/models/m/infer",
}
