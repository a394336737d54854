"""Programs that need the packages of the model servers: training, and a server like KServe's own."""

TRAIN = """
import sys, joblib
from sklearn.linear_model import LinearRegression
for slope in sys.argv[2:]:
    model = LinearRegression().fit([[0.0], [1.0]], [0.0, float(slope)])
    joblib.dump(model, f"{sys.argv[1]}/{slope}.joblib")
"""
"""Arguments: a folder, and the slopes of lines. Each line is saved as SLOPE.joblib."""

KSERVE = """
import argparse, os, joblib, uvicorn

class Loopback(uvicorn.Config):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **(kwargs | {"host": "127.0.0.1"}))

uvicorn.Config = Loopback
import kserve
from kserve.model_repository import ModelRepository

class Model(kserve.Model):
    def __init__(self, name, folder):
        super().__init__(name)
        self.folder, self.ready = folder, False

    def load(self):
        self.model = joblib.load(os.path.join(self.folder, "model.joblib"))
        self.ready = True
        return True

    def predict(self, payload, headers=None):
        return {"predictions": self.model.predict(payload["instances"]).tolist()}

class Repository(ModelRepository):
    async def load(self, name):
        model = Model(name, os.path.join(self.models_dir, name))
        if model.load():
            self.update(model)
        return model.ready

parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
parser.add_argument("--model_dir", required=True)
args, _ = parser.parse_known_args()
kserve.ModelServer(enable_grpc=False, registered_models=Repository(args.model_dir)).start([])
"""
"""Server of lines, with the arguments of KServe's own servers."""
