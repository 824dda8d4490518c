"""The root of every error that a caller of ``ivr`` can expect.

A leaf below everything else: features, hashing and pipeline raise subclasses of it without
importing each other.
"""


class IvrError(ValueError):
    """An error that a caller can expect and repair; the message is one line that says how.

    Every subclass, and the module that defines it::

        IvrError
            ArchiveError         ivr.pipeline.archive.lance_library
                ConditionError   ivr.pipeline.archive.where
                LostVersionError ivr.pipeline.archive.lance_library
            BusyError            ivr.pipeline.runtime.lock
            ChangeError          ivr.features.waveform_augmentation
            CodesError           ivr.hashing.codes
            CompareError         ivr.pipeline.comparison.evaluated_runs
            ContentError         ivr.pipeline.runtime.json_files
            CurvesError          ivr.pipeline.evaluation.curves
            DemoError            ivr.pipeline.demo.demo_set
            DeviceError          ivr.pipeline.runtime.device
            DigestsError         ivr.pipeline.runtime.digests
            EncoderError         ivr.features.blueprint
            EvaluateError        ivr.pipeline.evaluation.select
            ExtensionError       ivr.extensions
            ExtractError         ivr.pipeline.extraction.target
            FewVoicesError       ivr.pipeline.extraction.other_voices
            FitError             ivr.pipeline.runs.arrays
            HealthError          ivr.hashing.health
            InTheWayError        ivr.features.atomic_files
            JobArrayError        ivr.pipeline.extraction.job_array
            ManifestError        ivr.pipeline.datasets.manifest_row
                LayoutError      ivr.pipeline.datasets.layouts
                PairingError     ivr.pipeline.datasets.pairing
            MediaError           ivr.features.media
            MemoryFullError      ivr.features.encoder_batches
            MergeError           ivr.pipeline.extraction.merge
            MethodError          ivr.hashing.methods
            MetricsError         ivr.hashing.buckets
            OptionError          ivr.config
                ConditionError   ivr.pipeline.archive.where
                LocateError      ivr.pipeline.archive.locate
            OverloadedError      ivr.pipeline.serving.service_errors
            PackError            ivr.pipeline.packing.model_folder
            PageError            ivr.pipeline.report.evaluated_run
            PairsError           ivr.hashing.pairs
            PlotError            ivr.pipeline.plotting.evaluated
            PostgresError        ivr.pipeline.archive.postgres
                DatabaseDownError ivr.pipeline.archive.postgres
            ProbeError           ivr.pipeline.evaluation.probe
            RankingError         ivr.hashing.ranking
            RasterReaderError    ivr.features.raster_process
            ReadersError         ivr.pipeline.extraction.parallel_readers
                LostReadersError ivr.pipeline.extraction.parallel_readers
            ReportError          ivr.pipeline.runs.reporter_names
            ResultError          ivr.pipeline.runtime.results
            RunError             ivr.pipeline.runs.run_folder
            SearchError          ivr.pipeline.packing.search
            ServeError           ivr.pipeline.serving.service_errors
            SpeechError          ivr.pipeline.demo.speech
            StoreError           ivr.features.store
            StoredConfigError    ivr.pipeline.runtime.config_options
            TableError           ivr.pipeline.datasets.table
            TrainingError        ivr.hashing.trainer
            UnknownItemError     ivr.pipeline.serving.service_errors
            UnknownNameError     ivr.names
            UnreadableFileError  ivr.features.regular_files
                ChangedFileError ivr.features.regular_files
            UnwritableError      ivr.features.atomic_files
            VerifyError          ivr.pipeline.runs.verify
            VocabularyError      ivr.features.visual_words
            VoiceEncoderError    ivr.features.voice_blueprint
            WeightsError         ivr.features.weights_file
            WeightsSizeError     ivr.features.weights_size

    Any other exception is a bug, an error of the operating system (``OSError``), or exhausted
    memory.
    """


def first_line(error: BaseException, longest: int | None = None) -> str:
    """Return the first line of a message, at most ``longest`` characters; else the kind of error.

    For messages of libraries, which may have many lines or none.
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:longest]
