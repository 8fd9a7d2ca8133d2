#!/bin/bash
# Two machines with eight GPUs each under SLURM, a copy of the model on each GPU, begun again until it is finished:
#   sbatch examples/accelerate/slurm_2x8.sh --model_name_or_path ... --train_data ... --output_dir FOLDER_OF_ALL_MACHINES
# Two minutes before its time is up, and when another job needs its place, SLURM sends a signal to every process. The
# run then saves a checkpoint and ends with 75, and this script puts the job back into the queue.
# Launched on a processor with stand-ins for srun and scontrol, not on a cluster.
#SBATCH --job-name=ssast
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=10
#SBATCH --time=12:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
export MASTER_ADDR MASTER_PORT WORLD_SIZE=$SLURM_NTASKS LOCAL_WORLD_SIZE=$SLURM_NTASKS_PER_NODE OMP_NUM_THREADS=1

# Without a launcher in between, the signal and the exit status are those of the run itself.
# shellcheck disable=SC2016
srun bash -c 'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec python -m ssast_hf pretrain "$@"' pretrain \
    --dataloader_num_workers 8 "$@"
status=$?
if [ $status -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit $status
